"""Everything a learning curve has to tell, as plain values: what its page and tables are made from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from finegrain.metrics.power_law import LEAST_COUNTS, Fit
from finegrain.metrics.repeated import Judged
from finegrain.metrics.statistics import Interval, Spread

AHEAD = (2, 4)
"""How many times the most images that were tried the fit is asked about."""
CERTAIN = 0.9995
"""A law that rises beyond this was stopped by the end of what is possible."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """All trainings on one number of images."""

    per_class: int
    """Images of each class that a model had, its val split included."""
    trained: float
    """The same without the val split; the mean over the classes and the trainings."""
    images: int
    """Different images that were judged."""
    judged: tuple[Judged, ...]
    hashes: tuple[Mapping[str, str], ...]
    """SHA-256 of ids and labels of the splits of each training."""
    spread: Spread
    """Of the trainings' top-1."""
    by_seed: tuple[float, ...]
    """Top-1 of each seed on all images that are judged."""
    interval: Interval | None
    """95 % of the mean top-1, within [0, 1]; None where nothing varies."""
    of_training: bool
    """Whether the interval is for other seeds and images; else it is for other images alone."""

    @property
    def top1(self) -> float:
        """The mean."""
        return self.spread.mean


@dataclass(frozen=True, kw_only=True, slots=True)
class Ahead:
    """What the fit says of a number of images that was not tried."""

    per_class: int
    trained: float
    """As of a `Point`, in proportion to the last one."""
    top1: float
    interval: Interval | None
    """95 %, over other seeds; None where nothing shows their spread."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LearningCurveRecord:
    """One learning curve."""

    name: str
    class_names: Sequence[str]
    points: tuple[Point, ...]
    """From few images to many."""
    fit: Fit | None
    """Over the images trained on; None where the points tell no power law."""
    protocol: tuple[str, ...]
    """What was drawn how, what chose, and what was judged: one plain sentence each."""
    recipe_source: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()

    def ahead(self) -> tuple[Ahead, ...]:
        """What the fit says of `AHEAD` times the most images that were tried; empty where there is none."""
        if self.fit is None:
            return ()
        last = self.points[-1]
        trained = [times * last.trained for times in AHEAD]
        intervals = self.fit.intervals(trained)
        return tuple(
            Ahead(
                per_class=times * last.per_class,
                trained=trained[at],
                top1=float(value),
                interval=intervals[at] if intervals else None,
            )
            for at, (times, value) in enumerate(zip(AHEAD, self.fit.law.at(trained), strict=True))
        )

    def law(self) -> str:
        """The fitted power law with its uncertainty, or why there is none, in a sentence or two."""
        if len({point.trained for point in self.points}) < LEAST_COUNTS:
            return f"No power law is fitted to fewer than {LEAST_COUNTS} numbers of images."
        if self.fit is None:
            return "No power law is fitted: the accuracies do not rise as one."
        law = self.fit.law
        words = f"Fitted: top-1 = {law.a:.3f} − {law.b:.3f} · m^(−{law.c:.2f}) with m images of each class to train on."
        if law.a > CERTAIN:
            words += " Where it levels off, the points do not tell."
        if not self.fit.others:
            words += " Its uncertainty is unknown: other seeds are too few, or tell no such law."
        return words
