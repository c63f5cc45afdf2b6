"""Whether confidence can be believed: calibration error, Brier score, reliability table, temperature scaling.

A prediction's confidence is its largest probability. What follows from it is in `selection.py`.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from finegrain.errors import NumericsError, fault
from finegrain.metrics.intervals import wilson
from finegrain.metrics.probabilities import checked_probabilities

Probabilities = NDArray[np.floating[Any]]

TEMPERATURES = (0.05, 20.0)
"""Where a temperature is sought: without a single mistake on val, the best would be 0."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReliabilityBin:
    """The images whose confidence lies in (low, high]."""

    low: float
    high: float
    count: int
    confidence: float | None
    """Mean; None where there is no image."""
    accuracy: float | None
    """Share recognised; None where there is no image."""
    interval: tuple[float, float]
    """Of the accuracy: Wilson, 95 %."""


def reliability(
    labels: NDArray[np.int64], probabilities: Probabilities, *, bins: int = 15
) -> tuple[ReliabilityBin, ...]:
    """Confidence beside accuracy, in bins of equal width.

    Args:
        labels: True class indices [N].
        probabilities: [N, K], rows summing to 1; equal ones rank by class index.
        bins: Number of bins, above 0; a confidence on an edge belongs to the lower one.

    Raises:
        DataError: No image, or a label outside [0, K).
        NumericsError: A probability that is not finite.
        ValueError: No bin.
    """
    if bins < 1:
        raise ValueError(f"no bins: {bins}")
    probabilities = checked_probabilities(labels, probabilities)
    confidences, hits = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    edges = np.linspace(0, 1, bins + 1)
    numbers = np.clip(np.searchsorted(edges, confidences, side="left") - 1, 0, bins - 1)
    counts, right, sums = (np.bincount(numbers, weights=w, minlength=bins) for w in (None, hits, confidences))
    return tuple(
        ReliabilityBin(
            low=float(edges[b]),
            high=float(edges[b + 1]),
            count=int(counts[b]),
            confidence=float(sums[b] / counts[b]) if counts[b] else None,
            accuracy=float(right[b] / counts[b]) if counts[b] else None,
            interval=wilson(int(right[b]), int(counts[b])),
        )
        for b in range(bins)
    )


def ece(labels: NDArray[np.int64], probabilities: Probabilities, *, bins: int = 15) -> float:
    """Expected calibration error, Σ_b n_b/N·|accuracy_b − confidence_b|, in [0, 1].

    Guo, Pleiss, Sun & Weinberger, "On calibration of modern neural networks", ICML 2017: 15 bins of equal width. With
    few images chance alone keeps it above 0. Arguments and errors are those of `reliability`.
    """
    table = reliability(labels, probabilities, bins=bins)
    gaps = [
        b.count * abs(b.accuracy - b.confidence) for b in table if b.accuracy is not None and b.confidence is not None
    ]
    return sum(gaps) / len(labels)


def brier(labels: NDArray[np.int64], probabilities: Probabilities) -> float:
    """Brier score over all classes, the mean over images of Σ_k (p_k − [k = label])², in [0, 2].

    Brier, Monthly Weather Review 1950. Arguments and errors are those of `reliability`.
    """
    errors = checked_probabilities(labels, probabilities)
    errors[np.arange(len(labels)), labels] -= 1
    return float((errors**2).sum(axis=1).mean())


def as_logits(probabilities: Probabilities) -> NDArray[np.float64]:
    """Log-probabilities [N, K], which the softmax takes back to `probabilities`; 0 counts as float32's smallest."""
    return np.log(np.maximum(probabilities, np.finfo(np.float32).tiny, dtype=np.float64))


def scale(logits: NDArray[np.floating[Any]], temperature: float) -> NDArray[np.float64]:
    """Probabilities [N, K]: the softmax of `logits` [N, K] over `temperature`; the order of the classes stays.

    Raises:
        ValueError: A temperature that is not above 0.
    """
    if not temperature > 0:
        raise ValueError(f"no temperature: {temperature}")
    scaled: NDArray[np.float64] = softmax(np.asarray(logits, dtype=np.float64) / temperature, axis=1)
    return scaled


def fit_temperature(labels: NDArray[np.int64], logits: NDArray[np.floating[Any]]) -> float:
    """The temperature that makes the log-loss least, to be fitted on val and used on test.

    Guo, Pleiss, Sun & Weinberger, ICML 2017. The log-loss is convex in 1/temperature, so the one minimum over its
    logarithm is found by bounded search. On the images given, the log-loss never gets worse.

    Args:
        labels: True class indices of the val images [N].
        logits: Of the same images [N, K]; `as_logits` makes some of probabilities.

    Returns:
        Within `TEMPERATURES`; above 1 where the model was too sure; 1 where nothing is better.

    Raises:
        DataError: No image, or a label outside [0, K).
        NumericsError: A logit that is not finite.
    """
    exact = np.asarray(logits, dtype=np.float64)
    if not np.isfinite(exact).all():
        wrong = int((~np.isfinite(exact).all(axis=1)).sum())
        raise NumericsError(
            fault(
                "logits that are not finite",
                got=f"{wrong} of {len(exact)} images with NaN or infinity",
                expected="numbers",
                remedy="training diverged: lower optim.lr, or set runtime.precision=fp32",
            )
        )
    checked_probabilities(labels, softmax(exact, axis=1))
    rows = np.arange(len(labels))

    def loss(logarithm: float) -> float:
        return -float(log_softmax(exact / np.exp(logarithm), axis=1)[rows, labels].mean())

    found = minimize_scalar(loss, bounds=np.log(TEMPERATURES), method="bounded", options={"xatol": 1e-6})
    return float(np.exp(found.x)) if found.fun < loss(0.0) else 1.0
