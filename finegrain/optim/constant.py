"""One learning rate from the warm-up to the end."""

from dataclasses import dataclass

from finegrain.optim.schedule import ScheduleConfig


@dataclass(kw_only=True, slots=True)
class Constant(ScheduleConfig):
    """The full rate throughout."""

    def factor(self, epoch: float, *, start: float, end: float) -> float:
        """See `ScheduleConfig.factor`."""
        return 1.0
