"""Everything a verdict on generated images has to tell, as plain values: what its page is made from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from finegrain.metrics.benefit import Arm, Benefit
from finegrain.metrics.comparison import Comparison
from finegrain.metrics.statistics import Spread


@dataclass(frozen=True, kw_only=True, slots=True)
class ArmRow:
    """One arm: what it was trained on, and what came of it."""

    arm: Arm
    images: int
    """Trained on, each copy counted."""
    added: int
    """Generated ones or duplicates among them."""
    steps: int
    """Of the optimiser, the same in all arms."""
    strength: str
    """What val chose for this arm; empty where nothing was to be chosen."""
    val_top1: float
    """Mean over the seeds, of what was chosen by it: a little flattered."""
    accuracies: tuple[float, ...]
    """Test top-1 of each seed."""
    top1: Spread
    """Of these."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassRow:
    """One class; what is None is not known."""

    name: str
    n_real: int
    """Train images."""
    asked: int | None
    kept: int
    """Generated images in the version."""
    passed: float | None
    """Share of those asked for that a filter let pass; None where there was no filter."""
    fidelity: float | None
    """Share of the generated images that a classifier trained on real train images alone takes for the class."""
    diversity: float | None
    """Mean distance of two generated images over that of two real ones."""
    copies: float | None
    """Share of the generated images that are as near to a train image as the nearest 1 % of held-out ones."""
    duplicates: float | None
    """Share that are as near to an earlier generated one."""
    n_test: int
    change: float | None
    """Test accuracy with generated images minus that without, mean over the seeds; None without test images."""


@dataclass(frozen=True, kw_only=True, slots=True)
class VerdictRecord:
    """A verdict, and how it was reached."""

    name: str
    """Of the recipe."""
    version: str
    """The folder of generated images."""
    benefit: Benefit
    fraction: float
    """Share of generated images among those trained on, in the arms that have both."""
    candidates: Mapping[float, float]
    """Of every share tried, mean val top-1 of the arm `synthetic`, by which the share was chosen."""
    arms: tuple[ArmRow, ...]
    classes: tuple[ClassRow, ...]
    protocol: tuple[str, ...]
    """How it was computed, one plain sentence each."""
    origin: Mapping[str, str]
    """Digests of the version, its generator and the splits."""
    test_evaluations: int
    """How often these arms were shown the test split, this time included."""
    seconds: Mapping[str, float]
    environment: Mapping[str, str]
    recipe_source: str
    notes: tuple[str, ...] = ()
    """What a reader should know before trusting the numbers, one sentence each."""

    @property
    def main(self) -> Comparison:
        """Real and generated images against real ones."""
        return self.benefit.differences["synthetic", "real"]

    def of(self, arm: Arm) -> ArmRow:
        """The row of one arm."""
        return next(row for row in self.arms if row.arm == arm)

    def paired(self, arm: Arm, other: Arm) -> Sequence[float]:
        """Difference of the test accuracies of both arms, seed by seed."""
        pairs = zip(self.of(arm).accuracies, self.of(other).accuracies, strict=True)
        return [first - second for first, second in pairs]
