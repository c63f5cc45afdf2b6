"""How often images are recognised, and classifiers trained on different images compared on the same test images."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from finegrain.metrics.comparison import Comparison, as_family, compare_models, compare_runs
from finegrain.metrics.crossed import crossed_interval
from finegrain.metrics.intervals import wilson
from finegrain.metrics.statistics import Interval

Hits = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, slots=True)
class Recognition:
    """How many images one classifier took for what they are labelled."""

    right: int
    n: int

    @property
    def accuracy(self) -> float | None:
        """In [0, 1]; None without images."""
        return self.right / self.n if self.n else None

    @property
    def interval(self) -> Interval:
        """Wilson's, 95 %, for other images from the same source."""
        return wilson(self.right, self.n)


def recognition(hits: Hits) -> Recognition:
    """Of all images, hits [N]."""
    return Recognition(right=int(hits.sum()), n=len(hits))


def recognitions(hits: Hits, labels: NDArray[np.int64], num_classes: int) -> tuple[Recognition, ...]:
    """Of each of K classes: hits [N] and labels [N]."""
    return tuple(recognition(hits[labels == label]) for label in range(num_classes))


@dataclass(frozen=True, kw_only=True, slots=True)
class Taught:
    """Test accuracy of what was trained on one kind of images, R times on images of their own."""

    hits: Hits
    """Whether each training recognised each test image [R, N]."""
    labels: NDArray[np.int64]
    """Of the test images [N]."""
    n_train: int
    """Images in each training."""

    @property
    def trainings(self) -> int:
        """R."""
        return len(self.hits)

    @property
    def accuracy(self) -> float:
        """Mean over the trainings, in [0, 1]."""
        return float(self.hits.mean())

    @property
    def interval(self) -> Interval | None:
        """95 %: of one training for other test images, by Wilson; of several for other images to train on as well."""
        if len(self.hits) == 1:
            return recognition(self.hits[0]).interval
        return crossed_interval(self.hits, self.labels)

    def minus(self, other: "Taught") -> Comparison:
        """How much better this is than the other on the same test images, paired.

        Of several trainings against one, the one is taken as it is: it says nothing of another like it.

        Raises:
            DataError: They were judged on other numbers of images.
        """
        first, second = self.hits, other.hits
        if len(first) == len(second) == 1:
            return compare_models(first[0], second[0], self.labels)
        if min(len(first), len(second)) == 1:
            first, second = np.broadcast_arrays(first, second)
            return compare_runs(first, second, self.labels)
        both = min(len(first), len(second))
        return compare_runs(first[:both], second[:both], self.labels)


def every_pair(taught: Sequence[Taught]) -> dict[tuple[int, int], Comparison]:
    """Every two of them compared, the earlier minus the later, adjusted for being one family; by their positions."""
    places = [(one, other) for other in range(len(taught)) for one in range(other)]
    compared = as_family([taught[one].minus(taught[other]) for one, other in places])
    return dict(zip(places, compared, strict=True))
