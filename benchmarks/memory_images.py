"""Images that need no files: their pixels are a function of the sample's number."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from finegrain.data.base import Data, Sample, Source
from finegrain.data.feed import Inputs
from finegrain.data.loader import Loader
from finegrain.data.transforms import eval_transform, normalize
from finegrain.preprocessing import Preprocessing
from finegrain.runtime import Runtime


class NumberedImages:
    """A source of smooth images of one size, made anew whenever they are read."""

    def __init__(self, size: int) -> None:
        self._ramp = np.linspace(0, 255, size, dtype=np.uint8)

    def read(self, sample: Sample) -> NDArray[np.uint8]:
        """Uint8 [S, S, 3]: one pair of slopes a sample."""
        number = int(sample.path)
        rows, columns = self._ramp * (number % 7 + 1), self._ramp * (number // 7 % 11 + 1)
        shift = np.array([number, number >> 8, number >> 16], dtype=np.int64).astype(np.uint8)
        pixels: NDArray[np.uint8] = (rows[:, None] + columns[None, :])[..., None] + shift
        return pixels


def samples(count: int, *, classes: int, first: int = 0) -> tuple[Sample, ...]:
    """Of as many images, the classes in turn."""
    return tuple(Sample(path=str(number), label=number % classes) for number in range(first, first + count))


def data(count: int, *, classes: int, image_size: int) -> Data:
    """`count` train images, and two each to validate and test by."""
    return Data(
        train=samples(count, classes=classes),
        val=samples(2, classes=classes, first=count),
        test=samples(2, classes=classes, first=count + 2),
        class_names=tuple(f"class {number}" for number in range(classes)),
        source=NumberedImages(image_size),
    )


class ReadyImages:
    """A feed of images that are loaded and normalised before anything is measured; always in the same order.

    Args:
        shown: Whose images.
        source: Reads them.
        preprocessing: What the network expects.
        batch_size: Of a step.
        runtime: Lays the images of a step out in memory when they are asked for; none: [B, 3, S, S], contiguous.
    """

    def __init__(
        self,
        shown: Sequence[Sample],
        *,
        source: Source,
        preprocessing: Preprocessing,
        batch_size: int,
        runtime: Runtime | None = None,
    ) -> None:
        self.samples, self.batch_size = shown, batch_size
        self._runtime = runtime
        load = Loader(
            shown, source=source, transform=eval_transform(preprocessing), batch_size=batch_size, seed=0, train=False
        )
        self._batches = [
            (normalize(batch.images, preprocessing).contiguous(), batch.labels, batch.indices)
            for batch in load.epoch(0)
        ]

    def __len__(self) -> int:
        """Steps of an epoch."""
        return len(self._batches)

    def epoch(self, epoch: int, start_step: int = 0) -> Iterator[Inputs]:
        """The steps from `start_step` on."""
        for images, labels, indices in self._batches[start_step:]:
            placed = images if self._runtime is None else self._runtime.place_images(images)
            yield Inputs(views=(placed,), labels=labels, indices=indices)
