"""Everything an ensemble has to tell, as plain values: what its pages and tables are made from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from finegrain.metrics.classification import ClassificationMetrics
from finegrain.metrics.ensembles import Average, Diversity, Gain
from finegrain.report.format import count, percent
from finegrain.report.record import Predictions

_TOGETHER = 2 / 3
"""Share of a member's errors that all make, from which on they are said to err together."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """A member, an average or a soup."""

    name: str
    val: ClassificationMetrics | None
    """None where training saw some of the val images."""
    test: ClassificationMetrics


@dataclass(frozen=True, kw_only=True, slots=True)
class EnsembleRecord:
    """One ensemble of M members, all judged on the same test images."""

    name: str
    average: Average
    """What was asked for, and the headline tells."""
    class_names: Sequence[str]
    members: tuple[Row, ...]
    averages: Mapping[Average, Row]
    soup: Row | None
    soup_words: str
    """Which members are in the soup, or why there is none; one or two sentences."""
    diversity: Diversity
    """Of the members on test, in their order."""
    gain: Gain
    """Of the average that was asked for, on test."""
    predictions: Predictions
    """Of that average on test."""
    test_evaluations: int
    """How often test was looked at for this ensemble, this time included."""
    recipe_source: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()

    @property
    def chosen(self) -> Row:
        """The average that was asked for."""
        return self.averages[self.average]

    @property
    def mean_top1(self) -> float:
        """Of the members on test."""
        return float(np.mean([row.test.top1 for row in self.members]))

    def verdict(self) -> str:
        """Whether averaging pays here, in a sentence; never from the difference alone."""
        points = f"{100 * self.gain.difference:+.2f} points against the mean member"
        if self.gain.interval is None:
            return f"Nothing can be said of the gain: {points}, and nothing shows its spread."
        ends = " to ".join(f"{100 * end:+.2f}" for end in self.gain.interval)
        if self.gain.interval[0] > 0:
            return f"Averaging pays: {points} ({ends})."
        if self.gain.interval[1] < 0:
            return f"Averaging costs: {points} ({ends})."
        return f"No evidence that averaging pays: {points} ({ends})."

    def why(self) -> str:
        """What the errors of the members have to do with that, in two sentences."""
        shares, error = self.diversity, self.diversity.error
        pairs = ~np.eye(len(self.members), dtype=bool)
        differ = float(shares.disagreement[pairs].mean())
        if error == 0:
            return "No member makes a mistake: there is nothing to gain."
        together = shares.missed_by_all / error
        most = "The members err together" if together >= _TOGETHER else "The members err in part on different images"
        return (
            f"{most}: {percent(shares.missed_by_all)} of the images are missed by all, of {percent(error)} that a "
            f"member misses on average. Two members answer {percent(differ)} of the {count(self.chosen.test.n)} images "
            "differently."
        )
