"""Which classes are taken for which."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from finegrain.metrics.intervals import wilson


@dataclass(frozen=True, kw_only=True, slots=True)
class Confusion:
    """Images of one class that were taken for another."""

    true: int
    """Index of the class they show."""
    predicted: int
    """Index of the class they were taken for."""
    count: int
    total: int
    """Images of the true class."""
    interval: tuple[float, float]
    """Wilson, 95 %, of the share; of this pair alone, not of the largest of many."""

    @property
    def share(self) -> float:
        """Of the true class's images, in (0, 1]."""
        return self.count / self.total


def most_confused(confusion: NDArray[np.int64], limit: int) -> tuple[Confusion, ...]:
    """The pairs of classes that are confused most often, at most `limit`, ties in the order of the classes.

    Args:
        confusion: Counts [K, K], a row for each true class.
        limit: Largest number of pairs.
    """
    wrong = confusion.copy()
    np.fill_diagonal(wrong, 0)
    totals = confusion.sum(axis=1)
    order = np.argsort(-wrong, axis=None, kind="stable")[:limit]
    pairs = [(int(row), int(column)) for row, column in zip(*np.unravel_index(order, wrong.shape), strict=True)]
    return tuple(_pair(t, p, count=int(wrong[t, p]), total=int(totals[t])) for t, p in pairs if wrong[t, p] > 0)


def _pair(true: int, predicted: int, *, count: int, total: int) -> Confusion:
    return Confusion(true=true, predicted=predicted, count=count, total=total, interval=wilson(count, total))
