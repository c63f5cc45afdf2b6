"""Averages of what several models say, and whether they err on different images, without which no average gains."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from finegrain.metrics.calibration import as_logits
from finegrain.metrics.statistics import Interval, bootstrap_interval

Average = Literal["probabilities", "logits"]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Diversity:
    """How the errors of M models lie to each other; shares of the images, in [0, 1].

    Kuncheva & Whitaker, "Measures of diversity in classifier ensembles", Machine Learning 2003.
    """

    disagreement: NDArray[np.float64]
    """Images that two models answer differently [M, M]; 0 on the diagonal. Theirs is of right and wrong alone; here two
    different wrong answers count too, as in Fort, Hu & Lakshminarayanan, "Deep ensembles", 2019."""
    double_fault: NDArray[np.float64]
    """Images that two models both get wrong [M, M]; on the diagonal each model's error."""
    missed_by_all: float
    """Images that no model gets right."""

    @property
    def error(self) -> float:
        """Of a model, on average."""
        return float(self.double_fault.diagonal().mean())


@dataclass(frozen=True, kw_only=True, slots=True)
class Gain:
    """What the average gets right beyond a member, on average over the members."""

    difference: float
    """Of top-1, in [-1, 1]."""
    interval: Interval | None
    """95 % for these models on other images: paired bootstrap, stratified by class; None where nothing varies."""


def average(members: NDArray[np.float64], how: Average) -> NDArray[np.float64]:
    """One prediction an image out of M.

    "probabilities" is their mean (Lakshminarayanan, Pritzel & Blundell, "Deep ensembles", NeurIPS 2017). "logits" is
    the softmax of the mean logits, which is the geometric mean of the probabilities, normalised: a class that one
    member rules out stays out. Over several views the logits are those of the views' mean probabilities.

    Args:
        members: Probabilities [M, N, K], rows summing to 1.
        how: What is averaged.

    Returns:
        Probabilities [N, K].
    """
    if how == "probabilities":
        return np.asarray(members.mean(axis=0))
    return np.asarray(softmax(as_logits(members).mean(axis=0), axis=1))


def diversity(labels: NDArray[np.int64], members: NDArray[np.float64]) -> Diversity:
    """Compare the answers of the members, pair by pair.

    Args:
        labels: True class indices [N].
        members: Probabilities [M, N, K].
    """
    answers = members.argmax(axis=2)
    wrong = (answers != labels).astype(np.float64)
    return Diversity(
        disagreement=np.array([(answers != row).mean(axis=1) for row in answers]),
        double_fault=wrong @ wrong.T / len(labels),
        missed_by_all=float(wrong.all(axis=0).mean()),
    )


def gain(labels: NDArray[np.int64], members: NDArray[np.float64], averaged: NDArray[np.float64]) -> Gain:
    """Set the average against its members on the same images.

    Args:
        labels: True class indices [N].
        members: Probabilities [M, N, K].
        averaged: Of `average` [N, K].
    """
    hits = averaged.argmax(axis=1) == labels
    difference = hits - (members.argmax(axis=2) == labels).mean(axis=0)
    return Gain(difference=float(difference.mean()), interval=bootstrap_interval(difference, labels))
