"""Everything a comparison of finished evaluations has to tell, as plain values: what its page is made from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from finegrain.metrics.comparison import ALPHA, Comparison
from finegrain.metrics.statistics import Interval, Spread


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """One finished evaluation: its figures and its cost. What is None is not known."""

    name: str
    """The directory it lies in."""
    top1: Spread
    """Over its trainings."""
    interval: Interval | None
    """95 % of the mean top-1, within [0, 1]."""
    interval_of: str
    """What might have been otherwise."""
    trainings: tuple[tuple[str, float], ...]
    """What each is called, and its top-1."""
    images: int
    """Different images that were judged."""
    macro_f1: Spread | None = None
    auroc: Spread | None = None
    trainable: int | None = None
    """Parameters."""
    seconds: float | None = None
    """Wall time of everything."""
    peak_memory_bytes: int | None = None
    images_per_second: float | None = None
    """Trained on in every epoch, and judged."""
    recipe: Mapping[str, str] = field(default_factory=dict)
    """Its values by dotted key, as on the command line."""
    protocol: Sequence[str] = ()
    """How it was evaluated, and what a reader should know of it: one plain sentence each."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ComparisonRecord:
    """Settings, each of which was judged on the same images as the first."""

    settings: tuple[Setting, ...]
    """M, at least two."""
    comparisons: tuple[Comparison, ...]
    """Of each later one with the first [M − 1]: a family."""
    notes: tuple[str, ...] = ()
    """What a reader should know before trusting the numbers, one sentence each."""

    def differences(self) -> dict[str, list[str]]:
        """What each recipe says under the keys where those that are known differ; "–" where it has no such key."""
        keys = dict.fromkeys(key for setting in self.settings for key in setting.recipe)
        said = {key: [setting.recipe.get(key, "–") for setting in self.settings] for key in keys}
        known = [at for at, setting in enumerate(self.settings) if setting.recipe]
        return {key: values for key, values in said.items() if len({values[at] for at in known}) > 1}

    def adjusted(self) -> str:
        """How p values are adjusted, in short; empty for a single comparison."""
        family = len(self.comparisons)
        return f"Holm, {family} comparisons" if family > 1 else ""

    def strictest(self) -> str:
        """By which step of Holm the smallest difference is told, in short; empty for a single comparison."""
        family = len(self.comparisons)
        return f"by Holm's strictest step (p ≤ {ALPHA:g}/{family})" if family > 1 else ""
