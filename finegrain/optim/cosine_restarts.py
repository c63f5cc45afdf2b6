"""Cosine decay of the learning rate with warm restarts."""

from dataclasses import dataclass
from typing import Annotated

from finegrain.config import Count, Fraction, Range
from finegrain.optim.cosine import half_cosine
from finegrain.optim.schedule import ScheduleConfig


@dataclass(kw_only=True, slots=True)
class CosineRestarts(ScheduleConfig):
    """SGDR (Loshchilov & Hutter, ICLR 2017, arXiv:1608.03983): cosine periods, each starting at the full rate."""

    period_epochs: Count = 10
    """Length of the first period in epochs, counted from the warm-up's end."""
    period_growth: Annotated[float, Range(least=1)] = 1.0
    """Length of a period over that of the one before."""
    min_lr_fraction: Fraction = 0.0
    """Rate at a period's end as a fraction of the full one."""

    def factor(self, epoch: float, *, start: float, end: float) -> float:
        """See `ScheduleConfig.factor`."""
        # A step's epoch is a rounded quotient: without the tolerance a restart could come one step late.
        since, period = epoch - start + 1e-9, float(self.period_epochs)
        while since >= period:
            since, period = since - period, period * self.period_growth
        return half_cosine(since / period, floor=self.min_lr_fraction)
