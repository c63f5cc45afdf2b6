"""Which images a model gets wrong, and which of each class are hardest and easiest to it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True, slots=True)
class Mistake:
    """An image that a model gives to another class than its label."""

    path: str
    label: int
    """Index of the class it is listed under."""
    predicted: int
    """Index of the class it is given to."""
    label_probability: float
    """In [0, 1], of the class it is listed under."""
    probability: float
    """In [0, 1], of the class it is given to."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Extremes:
    """The ends of one class, its images in the order of the probability of their label; none is at both ends."""

    label: int
    hardest: tuple[int, ...]
    """Rows, the least probable label first."""
    easiest: tuple[int, ...]
    """Rows, the most probable label first."""


def as_mistakes(
    rows: Iterable[int],
    taken_for: NDArray[np.int64],
    *,
    paths: Sequence[str],
    labels: NDArray[np.int64],
    probabilities: NDArray[np.float64],
) -> tuple[Mistake, ...]:
    """Some of N images as mistakes.

    Args:
        rows: Which.
        taken_for: The class that each image is given to [N].
        paths: Of the N images.
        labels: The classes they are listed under [N].
        probabilities: [N, K].
    """
    return tuple(
        Mistake(
            path=paths[row],
            label=int(labels[row]),
            predicted=int(taken_for[row]),
            label_probability=float(probabilities[row, labels[row]]),
            probability=float(probabilities[row, taken_for[row]]),
        )
        for row in rows
    )


def surest_mistakes(
    paths: Sequence[str], labels: NDArray[np.int64], probabilities: NDArray[np.float64], *, limit: int
) -> tuple[Mistake, ...]:
    """At most `limit` mistakes with the highest probability, surest first; ties in the order of the images.

    Args:
        paths: Of N images.
        labels: Their classes [N].
        probabilities: [N, K].
        limit: Largest number of mistakes.
    """
    predicted, sureness = probabilities.argmax(axis=1), probabilities.max(axis=1)
    wrong = np.flatnonzero(predicted != labels)
    rows = wrong[np.argsort(-sureness[wrong], kind="stable")][:limit]
    return as_mistakes(rows, predicted, paths=paths, labels=labels, probabilities=probabilities)


def class_extremes(
    labels: NDArray[np.int64], probabilities: NDArray[np.float64], *, each: int, limit: int
) -> tuple[Extremes, ...]:
    """The ends of every class that has images; classes with the lowest mean probability of the label first.

    Args:
        labels: Classes of N images [N].
        probabilities: [N, K].
        each: Largest number of images at an end.
        limit: Largest number of classes.
    """
    own = probabilities[np.arange(len(labels)), labels]
    hardest_first = sorted(np.unique(labels), key=lambda label: own[labels == label].mean())
    found = []
    for label in hardest_first[:limit]:
        rows = np.flatnonzero(labels == label)
        rows = rows[np.argsort(own[rows], kind="stable")]
        easiest = rows[max(each, len(rows) - each) :][::-1]
        found.append(Extremes(label=int(label), hardest=tuple(rows[:each].tolist()), easiest=tuple(easiest.tolist())))
    return tuple(found)
