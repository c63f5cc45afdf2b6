"""A learning rate that drops at given epochs."""

from bisect import bisect_right
from dataclasses import dataclass
from typing import Annotated

from finegrain.config import Count, Range
from finegrain.errors import fault
from finegrain.optim.schedule import ScheduleConfig


@dataclass(kw_only=True, slots=True)
class MultiStep(ScheduleConfig):
    """Multiply the rate by `drop` at each milestone."""

    milestones: tuple[Count, ...] = (10, 15)
    """Epochs after which the rate drops, ascending, counted from the start of the run."""
    drop: Annotated[float, Range(above=0, most=1)] = 0.1
    """New rate over the old one."""

    def faults(self) -> list[str]:
        """What the types cannot say."""
        if all(a < b for a, b in zip(self.milestones, self.milestones[1:], strict=False)):
            return []
        remedy = "sort schedule.milestones and name each epoch once"
        return [fault("milestones out of order", got=self.milestones, expected="ascending epochs", remedy=remedy)]

    def factor(self, epoch: float, *, start: float, end: float) -> float:
        """See `ScheduleConfig.factor`."""
        return float(self.drop ** bisect_right(self.milestones, epoch))
