"""What confidence is good for: answering only where it is high, and sets of classes that hold the true one."""

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

from finegrain.metrics.intervals import wilson
from finegrain.metrics.probabilities import checked_probabilities
from finegrain.metrics.statistics import ROUNDING, finite, matching, require_confidence

Probabilities = NDArray[np.floating[Any]]

COVERAGES = tuple(step / 20 for step in range(1, 21))
"""Where curves are read off. Below a twentieth of the images the risk is chance."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class RiskCoverage:
    """What answering only the surest images would cost, a point for each confidence that occurs, surest first."""

    thresholds: NDArray[np.float64]
    """Answer from this confidence on [P], falling."""
    coverage: NDArray[np.float64]
    """Share of images answered [P], rising to 1."""
    risk: NDArray[np.float64]
    """Share of those answered that is wrong [P]; the last is 1 − top1."""
    aurc: float
    """Mean risk over the coverages 1/N, 2/N, ... 1; images of one confidence come in random order. 0 is best."""

    def read_off(self) -> tuple[float, ...]:
        """The risk of answering at least each of `COVERAGES`, and as little more as equal confidences allow."""
        points = np.searchsorted(self.coverage, np.array(COVERAGES) - ROUNDING)
        return tuple(self.risk[points].tolist())


@dataclass(frozen=True, kw_only=True, slots=True)
class Threshold:
    """From which confidence on an answer can be believed."""

    confidence: float
    """Answer where the largest probability is at least this."""
    coverage: float
    """Share of the val images that were answered."""
    accuracy: float
    """Of those."""
    lower_bound: float
    """What the accuracy on further such images is at least."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ConformalSets:
    """The rule that gives every image a set of classes."""

    method: Literal["lac"] = "lac"
    """Name of the score, 1 − p, in metrics.json."""
    coverage: float
    """Promised share of further images whose set holds the true class."""
    limit: float
    """Largest score that is let in; infinite where val has too few images to promise less than all classes."""

    def sets(self, probabilities: Probabilities) -> NDArray[np.bool_]:
        """The classes in each image's set [N, K]; the most probable always is, which only adds coverage."""
        chosen: NDArray[np.bool_] = _scores(probabilities) <= self.limit
        chosen[np.arange(len(chosen)), np.argmax(probabilities, axis=1)] = True
        return chosen


@dataclass(frozen=True, kw_only=True, slots=True)
class SetQuality:
    """What sets are worth on images that did not make them."""

    coverage: float
    """Share of images whose set holds the true class."""
    interval: tuple[float, float]
    """Of that: Wilson, 95 %."""
    mean_size: float
    """Classes in a set."""


def risk_coverage(confidences: NDArray[np.floating[Any]], hits: NDArray[np.bool_]) -> RiskCoverage:
    """The risk–coverage curve and its area.

    Geifman & El-Yaniv, "Selective classification for deep neural networks", NeurIPS 2017; the area: Geifman, Uziel &
    El-Yaniv, ICLR 2019.

    Args:
        confidences: Of each prediction [N]; only their order counts.
        hits: Whether it was right [N].

    Raises:
        DataError: No image, or not as many hits.
        NumericsError: A confidence that is not finite.
    """
    misses = 1 - finite(hits, "hits")
    confidences = matching(confidences, misses)
    values, group, counts = np.unique(-confidences, return_inverse=True, return_counts=True)
    wrong = np.bincount(group, weights=misses)
    answered = np.cumsum(counts)
    n = len(confidences)
    errors = np.cumsum(np.repeat(wrong / counts, counts))
    return RiskCoverage(
        thresholds=-values,
        coverage=answered / n,
        risk=np.cumsum(wrong) / answered,
        aurc=float((errors / np.arange(1, n + 1)).mean()),
    )


def clopper_lower(successes: int, n: int, confidence: float = 0.95) -> float:
    """The one-sided lower bound of a proportion by Clopper & Pearson, Biometrika 1934; exact, 0 for no success."""
    require_confidence(confidence)
    return float(beta.ppf(1 - confidence, successes, n - successes + 1)) if successes else 0.0


def threshold_for(
    accuracy: float, confidences: NDArray[np.floating[Any]], hits: NDArray[np.bool_], *, confidence: float = 0.95
) -> Threshold | None:
    """The lowest confidence found from which on answers are right often enough, with a bound that holds for new images.

    Selection with guaranteed risk (Geifman & El-Yaniv, NeurIPS 2017): a binary search over the images in order of their
    confidence, each of its ⌈log₂ N⌉ steps tested by `clopper_lower` at its share of 1 − `confidence`, so that having
    searched does not break the promise.

    Args:
        accuracy: Wanted, in (0, 1).
        confidences: Of the predictions on val [N], which no further choice may have been made on.
        hits: Whether they were right [N].
        confidence: Probability that the promise holds, in (0, 1).

    Returns:
        None where no step of the search reaches `accuracy` surely enough.

    Raises:
        DataError: No image, or not as many hits.
        NumericsError: A confidence that is not finite.
        ValueError: An accuracy or confidence outside (0, 1).
    """
    require_confidence(confidence)
    if not 0 < accuracy < 1:
        raise ValueError(f"no accuracy to ask for: {accuracy}")
    curve = risk_coverage(confidences, hits)
    n = len(hits)
    steps = max(1, math.ceil(math.log2(n)))
    low, high, found = 0, n, None
    for _ in range(steps):
        middle = (low + high + 1) // 2
        point = int(np.searchsorted(curve.coverage, middle / n - 0.5 / n))
        answered = round(curve.coverage[point] * n)
        right = answered - round(curve.risk[point] * answered)
        bound = clopper_lower(right, answered, 1 - (1 - confidence) / steps)
        if bound >= accuracy:
            found = Threshold(
                confidence=float(curve.thresholds[point]),
                coverage=answered / n,
                accuracy=right / answered,
                lower_bound=bound,
            )
            low = answered
        else:
            high = middle - 1
        if low >= high:
            break
    return found


def fit_conformal(labels: NDArray[np.int64], probabilities: Probabilities, *, coverage: float = 0.9) -> ConformalSets:
    """Split-conformal prediction sets: on further images like these, the set holds the true class that often.

    The limit is the ⌈(N + 1)·coverage⌉-th smallest score of the true classes, so the promise holds for any N, on
    average over val splits and images, not for each class (Vovk, Gammerman & Shafer, "Algorithmic learning in a random
    world", 2005). The score is 1 − p, which gives the smallest sets (Sadinle, Lei & Wasserman, JASA 2019).

    Args:
        labels: True class indices of the val images [N], images that neither trained nor chose the model.
        probabilities: Of the same images [N, K].
        coverage: In (0, 1).

    Raises:
        DataError: No image, or a label outside [0, K).
        NumericsError: A probability that is not finite.
        ValueError: A coverage outside (0, 1).
    """
    require_confidence(coverage)
    scores = _scores(checked_probabilities(labels, probabilities))
    true = np.sort(scores[np.arange(len(labels)), labels])
    rank = math.ceil((len(true) + 1) * coverage - 1e-9)  # Rounding must not raise the rank.
    return ConformalSets(coverage=coverage, limit=float(true[rank - 1]) if rank <= len(true) else math.inf)


def set_quality(labels: NDArray[np.int64], sets: NDArray[np.bool_]) -> SetQuality:
    """How often sets [N, K] hold the true class of images [N], and how large they are.

    Raises:
        DataError: No image, or not as many labels.
    """
    sizes = matching(sets.sum(axis=1), labels)
    held = sets[np.arange(len(sets)), labels]
    return SetQuality(
        coverage=float(held.mean()),
        interval=wilson(int(held.sum()), len(held)),
        mean_size=float(sizes.mean()),
    )


def _scores(probabilities: Probabilities) -> NDArray[np.float64]:
    """How badly each class fits each image [N, K]."""
    exact: NDArray[np.float64] = np.array(probabilities, dtype=np.float64)
    exact /= exact.sum(axis=1, keepdims=True)
    return 1 - exact
