"""Images that live in memory as one array a split, as the small classics come."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from finegrain.data.base import Sample, Split, Table


@dataclass(frozen=True, slots=True)
class ArraySource:
    """Reads a sample whose path is `<split>/<index>` from the arrays uint8 [N, H, W] (grey) or [N, H, W, 3]."""

    images: Mapping[str, NDArray[np.uint8]]

    def read(self, sample: Sample) -> NDArray[np.uint8]:
        """The image, uint8 RGB [H, W, 3]."""
        split, _, index = sample.path.partition("/")
        pixels = self.images[split][int(index)]
        return pixels if pixels.ndim == 3 else np.repeat(pixels[:, :, None], 3, axis=2)


def array_table(
    arrays: Mapping[Split, tuple[NDArray[np.uint8], NDArray[np.uint8]]], class_names: tuple[str, ...]
) -> Table:
    """The table of (images [N, H, W] or [N, H, W, 3], labels [N]) for each split."""
    samples = tuple(
        Sample(path=f"{split}/{index:05d}", label=int(label), split=split)
        for split, (_, labels) in arrays.items()
        for index, label in enumerate(labels)
    )
    source = ArraySource({split: images for split, (images, _) in arrays.items()})
    return Table(samples=samples, class_names=class_names, source=source)
