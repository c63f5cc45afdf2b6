"""A learning rate that drops when validation stops getting better."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated

from torch.optim import Optimizer

from finegrain.config import Count, Fraction, Range
from finegrain.optim.schedule import Schedule, ScheduleConfig


@dataclass(kw_only=True, slots=True)
class Plateau(ScheduleConfig):
    """Multiply the rate by `drop` after `patience_epochs` epochs in a row without a new best."""

    drop: Annotated[float, Range(above=0, below=1)] = 0.1
    """New rate over the old one."""
    patience_epochs: Count = 3
    """Epochs without a new best that make the rate drop."""
    min_lr_fraction: Fraction = 0.0
    """Lowest rate as a fraction of the full one."""

    def factor(self, epoch: float, *, start: float, end: float) -> float:
        """See `ScheduleConfig.factor`; what validation does comes on top."""
        return 1.0

    def schedule(self, optimizer: Optimizer, factor: Callable[[int], float]) -> Schedule:
        """See `ScheduleConfig.schedule`."""
        return PlateauSchedule(optimizer, factor, config=self)


class PlateauSchedule(Schedule):
    """A schedule with drops of its own; the trainer's one rule decides what a new best is."""

    def __init__(self, optimizer: Optimizer, factor: Callable[[int], float], *, config: Plateau) -> None:
        self._config, self._drops, self._waited = config, 0, 0
        super().__init__(optimizer, factor)

    def epoch_end(self, *, improved: bool) -> None:
        """Count the epochs without a new best, and drop the rate when they are too many."""
        self._waited = 0 if improved else self._waited + 1
        if self._waited == self._config.patience_epochs:
            self._drops, self._waited = self._drops + 1, 0
            self._apply()

    def state_dict(self) -> dict[str, int]:
        """Plain numbers that continue the schedule."""
        return {**super().state_dict(), "drops": self._drops, "waited": self._waited}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Continue where `state` was taken, setting the rates."""
        self._drops, self._waited = state["drops"], state["waited"]
        super().load_state_dict(state)

    def _scale(self) -> float:
        return super()._scale() * max(self._config.drop**self._drops, self._config.min_lr_fraction)
