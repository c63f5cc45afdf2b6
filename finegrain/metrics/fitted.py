"""What val taught of one model's confidence, read back from its report to say how sure further answers are."""

from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from finegrain import config
from finegrain.config import Count, Fraction, NonNegative, Positive
from finegrain.metrics.calibration import as_logits, scale
from finegrain.metrics.selection import ConformalSets


@dataclass(frozen=True, kw_only=True, slots=True)
class Fitted:
    """The part of `confidence.Confidence` that says something of images without a label."""

    val_images: Count
    """On how many it was fitted."""
    temperature: Positive
    threshold: Fraction | None
    """From this confidence on an answer can be believed; None where val cannot promise it."""
    method: Literal["lac"]
    coverage: Fraction
    """Promised share of images whose set holds the true class."""
    limit: NonNegative | None
    """Of the sets' scores; None where val has too few images to promise less than all classes."""

    @classmethod
    def read(cls, calibration: Any) -> Self:
        """Read what `metrics.json` has under `calibration`.

        Raises:
            ConfigError: A value that cannot be.
            KeyError: A value is missing.
            TypeError: It is no such JSON.
        """
        threshold, sets = calibration["threshold"], calibration["sets"]
        fitted = cls(
            val_images=calibration["val_images"],
            temperature=calibration["temperature"],
            threshold=None if threshold is None else threshold["confidence"],
            method=sets["method"],
            coverage=sets["coverage"],
            limit=sets["limit"],
        )
        config.check(fitted)
        return fitted

    def calibrated(self, probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
        """Probabilities [N, K], with their logits divided by the temperature; the order of the classes stays."""
        return scale(as_logits(probabilities), self.temperature)

    def sets(self, probabilities: NDArray[np.float64]) -> NDArray[np.bool_] | None:
        """The classes in each image's set [N, K], of probabilities as the model gives them; None without a limit."""
        if self.limit is None:
            return None
        return ConformalSets(method=self.method, coverage=self.coverage, limit=self.limit).sets(probabilities)


def find_unsure(
    probabilities: NDArray[np.float64], *, threshold: float | None, fitted: Fitted | None
) -> tuple[NDArray[np.bool_] | None, str]:
    """Which answers are unsure, and the rule in a sentence: by a threshold or, where there is none, by the sets.

    Args:
        probabilities: As the model gives them [N, K].
        threshold: The user's own; None: what is fitted.
        fitted: None where nothing is known.

    Returns:
        bool [N]; None where no rule is known.
    """
    if threshold is None and fitted:
        threshold = fitted.threshold
    if threshold is not None:
        return probabilities.max(axis=1) < threshold, f"Unsure: a probability below {threshold:.4g}."
    sets = fitted.sets(probabilities) if fitted else None
    if fitted is None or fitted.limit is None or sets is None:
        return None, "Which answers are unsure is not known: set threshold=P."
    # The likeliest class is in every set, even where it is too unlikely for it.
    unsure = (sets.sum(axis=1) > 1) | (1 - probabilities.max(axis=1) > fitted.limit)
    return (
        unsure,
        f"Unsure: not exactly one class is likely enough for sets that hold the true one in {fitted.coverage:.0%}.",
    )
