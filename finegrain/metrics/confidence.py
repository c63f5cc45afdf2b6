"""What the confidence of one model is worth: fitted on val, judged on test."""

from dataclasses import dataclass
from typing import Annotated, Any, Protocol

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import log_loss

from finegrain.config import Range
from finegrain.metrics.calibration import (
    ReliabilityBin,
    as_logits,
    brier,
    ece,
    fit_temperature,
    reliability,
    scale,
)
from finegrain.metrics.intervals import wilson
from finegrain.metrics.probabilities import checked_probabilities
from finegrain.metrics.selection import (
    ConformalSets,
    SetQuality,
    Threshold,
    fit_conformal,
    risk_coverage,
    set_quality,
    threshold_for,
)


@dataclass(kw_only=True, slots=True)
class Promises:
    """What val is to promise of further images."""

    accuracy: Annotated[float, Range(above=0, below=1)] = 0.95
    """Share of the answers from the threshold on that must be right."""
    coverage: Annotated[float, Range(above=0, below=1)] = 0.9
    """Share of the images whose set of classes must hold the true one."""


class Predictions(Protocol):
    """What a model said of the N images of a split."""

    @property
    def labels(self) -> NDArray[np.int64]:
        """True class indices [N]."""

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """Probability of each class [N, K]."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Calibration:
    """How well the probabilities of one split agree with what is true; see `calibration.py`."""

    loss: float
    """Mean log-loss in nats."""
    ece: float
    brier: float
    reliability: tuple[ReliabilityBin, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Scaling:
    """One split, as the model is and with its logits divided by the temperature."""

    before: Calibration
    after: Calibration


@dataclass(frozen=True, kw_only=True, slots=True)
class Answered:
    """What a threshold does on images that did not make it."""

    coverage: float
    """Share of the images that are answered."""
    accuracy: float
    """Of those."""
    interval: tuple[float, float]
    """Of the accuracy: Wilson, 95 %."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Confidence:
    """All that is known of one model's confidence.

    Threshold, risks and sets are of the probabilities as they are, not of the scaled ones: predictions.csv shows these,
    and val is used for one thing at a time.
    """

    val_images: int
    """On how many the following was fitted."""
    temperature: float
    val: Scaling
    test: Scaling
    risk: tuple[float, ...]
    """Share of wrong answers on test where only the surest are given, at `selection.COVERAGES`."""
    aurc: float
    """Area under the curve of all risks; see `selection.RiskCoverage`."""
    wanted_accuracy: float
    """Share of the answers from the threshold on that must be right."""
    threshold: Threshold | None
    """For `wanted_accuracy`; None where val cannot promise it from any confidence on."""
    answered: Answered | None
    """What it does on test; None where there is none, or none of the images is answered."""
    sets: ConformalSets
    """For the wanted coverage, which they hold."""
    set_quality: SetQuality
    """What they do on test."""


def judge_confidence(*, val: Predictions, test: Predictions, promises: Promises | None = None) -> Confidence:
    """Fit temperature, threshold and sets on `val`, and see on `test` what they are worth.

    The promises of threshold and sets hold for val images that no choice was made on. Where val also chose the epoch,
    they are approximate; test shows how far they hold.

    Args:
        val: What is fitted on.
        test: What the fitted is judged on.
        promises: What is wanted; none: the defaults.

    Raises:
        DataError: A split has no image, or a label outside [0, K).
        NumericsError: A probability that is not finite.
    """
    wanted = promises or Promises()
    on_val, on_test = (checked_probabilities(split.labels, split.probabilities) for split in (val, test))
    temperature = fit_temperature(val.labels, as_logits(on_val))
    confidences, hits = on_test.max(axis=1), on_test.argmax(axis=1) == test.labels
    curve = risk_coverage(confidences, hits)
    threshold = threshold_for(wanted.accuracy, on_val.max(axis=1), on_val.argmax(axis=1) == val.labels)
    sets = fit_conformal(val.labels, on_val, coverage=wanted.coverage)
    return Confidence(
        val_images=len(val.labels),
        temperature=temperature,
        val=_scaling(val.labels, on_val, temperature),
        test=_scaling(test.labels, on_test, temperature),
        risk=curve.read_off(),
        aurc=curve.aurc,
        wanted_accuracy=wanted.accuracy,
        threshold=threshold,
        answered=None if threshold is None else _answered(hits, confidences >= threshold.confidence),
        sets=sets,
        set_quality=set_quality(test.labels, sets.sets(on_test)),
    )


def _scaling(labels: NDArray[np.int64], probabilities: NDArray[np.float64], temperature: float) -> Scaling:
    scaled = scale(as_logits(probabilities), temperature)
    return Scaling(before=_calibration(labels, probabilities), after=_calibration(labels, scaled))


def _calibration(labels: NDArray[np.int64], probabilities: NDArray[np.float64]) -> Calibration:
    classes: NDArray[Any] = np.arange(probabilities.shape[1])
    return Calibration(
        loss=float(log_loss(labels, probabilities, labels=classes)),
        ece=ece(labels, probabilities),
        brier=brier(labels, probabilities),
        reliability=reliability(labels, probabilities),
    )


def _answered(hits: NDArray[np.bool_], given: NDArray[np.bool_]) -> Answered | None:
    answers, right = int(given.sum()), int(hits[given].sum())
    if not answers:
        return None
    return Answered(coverage=answers / len(hits), accuracy=right / answers, interval=wilson(right, answers))
