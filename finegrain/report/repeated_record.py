"""Everything a repeated evaluation has to tell, as plain values: what its pages and tables are made from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from finegrain.metrics.repeated import Judged, RepeatedMetrics
from finegrain.report.record import Parameters, Shown
from finegrain.report.uncertainty import Uncertainty, uncertainties

RANDOM = "random"
"""Stands for weights that were not loaded from anywhere."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RepeatedRecord:
    """One evaluation of J cells, each a training of its own: its numbers, and what is needed to judge and repeat them.

    K classes; what is told of every cell stands in the order of `judged`.
    """

    name: str
    protocol: tuple[str, ...]
    """What was divided how, how often, what chose, and what was fitted on what: one plain sentence each."""
    class_names: Sequence[str]
    """K names in the order of the model's outputs."""
    judged: tuple[Judged, ...]
    """The J cells."""
    metrics: RepeatedMetrics
    """`metrics.repeated.summarise` of them."""
    seconds: tuple[float, ...]
    """Wall time of each cell [J]."""
    hashes: tuple[Mapping[str, str], ...]
    """SHA-256 of ids and labels of each cell's `train`, `val` and `test` [J]."""
    parameters: Parameters
    weights: str = RANDOM
    """What training started from: a tag, a file or folder, or "random"."""
    histories: tuple[Sequence[Mapping[str, float]], ...] = ()
    """One row an epoch for each cell [J], as `record.Record.history`; empty where no epochs were trained."""
    suspects: Sequence[Shown] = ()
    """The first of `metrics.suspects`."""
    peak_memory_bytes: int | None = None
    recipe_source: str = ""
    """The resolved recipe as Python."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Versions, device and the like."""
    dropped: Sequence[tuple[str, str]] = ()
    """Images left out of the data: (path, reason)."""
    notes: Sequence[str] = ()
    """What a reader should know before trusting the numbers, one sentence each."""

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds in their order, each once."""
        return tuple(dict.fromkeys(cell.seed for cell in self.judged))

    @property
    def folds(self) -> tuple[int, ...]:
        """The numbers of the folds, each once; one number where every seed is judged on one test split."""
        return tuple(sorted({cell.fold for cell in self.judged}))

    def division(self) -> str:
        """How many trainings, in words: `10 seeds × 5 folds`, or `3 seeds` where all are judged on one test split."""
        seeds, folds = len(self.seeds), len(self.folds)
        words = f"{seeds} seed{'' if seeds == 1 else 's'}"
        return words if folds == 1 else f"{words} × {folds} folds"

    def uncertainties(self) -> tuple[Uncertainty, ...]:
        """The intervals of the mean top-1 accuracy: of training, of the images, of both."""
        return uncertainties(self.metrics, seeds=len(self.seeds), folds=len(self.folds))
