"""Which classes are taken for which."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True, slots=True)
class Confusion:
    """Images of one class that were taken for another."""

    true: int
    """Index of the class they show."""
    predicted: int
    """Index of the class they were taken for."""
    count: int
    share: float
    """Of the true class's images, in (0, 1]."""


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
    return tuple(
        Confusion(true=t, predicted=p, count=int(wrong[t, p]), share=float(wrong[t, p] / totals[t]))
        for t, p in pairs
        if wrong[t, p] > 0
    )
