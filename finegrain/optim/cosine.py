"""Cosine decay of the learning rate."""

import math
from dataclasses import dataclass

from finegrain.config import Fraction
from finegrain.optim.schedule import ScheduleConfig


@dataclass(kw_only=True, slots=True)
class Cosine(ScheduleConfig):
    """Half a cosine from the full rate at the warm-up's end to `min_lr_fraction` at the run's end."""

    min_lr_fraction: Fraction = 0.0
    """Last rate as a fraction of the full one."""

    def factor(self, epoch: float, *, start: float, end: float) -> float:
        """See `ScheduleConfig.factor`."""
        return half_cosine((epoch - start) / (end - start) if end > start else 0.0, floor=self.min_lr_fraction)


def half_cosine(progress: float, *, floor: float) -> float:
    """Fall from 1 to `floor` as `progress` goes from 0 to 1, and stay there."""
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
