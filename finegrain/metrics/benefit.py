"""Whether generated images help a classifier, over paired trainings with and without them."""

from dataclasses import dataclass
from typing import Literal

from finegrain.errors import DataError, fault
from finegrain.metrics.statistics import Interval, Numbers, corrected_t_interval, finite

LEAST_SEEDS = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Benefit:
    """What trainings in pairs of one seed say of generated images."""

    n: int
    """Paired seeds."""
    mean: float
    """Score with generated images minus score without; by itself it says nothing."""
    interval: Interval | None
    """Of the mean, 95 %; None where all differences are equal, and nothing shows their spread."""

    @property
    def verdict(self) -> Literal["helps", "no evidence", "hurts"]:
        """From the interval alone. "no evidence" is not "no difference"."""
        if self.interval is None or self.interval[0] <= 0 <= self.interval[1]:
            return "no evidence"
        return "helps" if self.interval[0] > 0 else "hurts"


def benefit(differences: Numbers) -> Benefit:
    """Student's interval of the mean difference over seeds, n − 1 degrees of freedom.

    It speaks of other seeds, judged on this test split; for other test images too, `comparison.compare_runs` takes the
    hits of each run. The seeds share their train images, generated ones too: of another generator it says nothing.

    Args:
        differences: Of each seed, score with generated images minus score without [n], higher scores being better.

    Raises:
        DataError: Fewer than `LEAST_SEEDS`.
        NumericsError: A score that is not finite.
    """
    values = finite(differences, "differences").ravel()
    if values.size < LEAST_SEEDS:
        problem = fault(
            "too few paired seeds for a verdict",
            got=f"{values.size}",
            expected=f"at least {LEAST_SEEDS}",
            remedy="train both arms with more seeds",
        )
        raise DataError(problem)
    return Benefit(n=values.size, mean=float(values.mean()), interval=corrected_t_interval(values, test_ratio=0.0))
