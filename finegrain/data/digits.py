"""The handwritten digits that come with scikit-learn: real data with nothing to download."""

from dataclasses import dataclass

import numpy as np

from finegrain.data.array import ArraySource
from finegrain.data.base import DataConfig, Facts, Sample, Table

_INK = 16
"""The darkest value in the dataset."""
_CLASSES = tuple("0123456789")


@dataclass(kw_only=True, slots=True)
class Digits(DataConfig):
    """Digits (Alpaydin & Kaynak, UCI, 1998, the test part of their set): 1,797 images of 10 digits, grey, 8×8.

    Nothing to download: `root` stays empty, scikit-learn brings them. They come without splits, and without the names
    of their 13 writers: val and test are carved out, and a writer's digits lie on both sides.
    """

    root: str = ""
    """Not used."""

    def sizes(self) -> Facts:
        """What is left after test and val are carved out, to within an image a class."""
        images = 1797
        test = round(images * self.test_fraction)
        val = round((images - test) * self.val_fraction)
        return Facts(num_classes=len(_CLASSES), train=images - test - val, val=val, test=test)

    def table(self) -> Table:
        """The rows and the pixels, 0 to 255, ink bright."""
        from sklearn.datasets import load_digits  # deferred: only this layout needs it

        images, labels = load_digits(return_X_y=True)
        pixels = np.rint(images * (255 / _INK)).astype(np.uint8).reshape(-1, 8, 8)
        samples = tuple(Sample(path=f"digits/{index:04d}", label=int(label)) for index, label in enumerate(labels))
        return Table(samples=samples, class_names=_CLASSES, source=ArraySource({"digits": pixels}))
