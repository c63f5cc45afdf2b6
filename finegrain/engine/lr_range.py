"""The learning-rate range test: training steps at a rate that grows from step to step, and what their losses say."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from finegrain.data.feed import Feed
from finegrain.engine.trainer import Trainer
from finegrain.errors import NumericsError
from finegrain.optim.schedule import Schedule

DIVERGED = 4.0
"""The test ends where the running mean of the loss is this many times the lowest it has been."""
_MEMORY = 0.9
"""Weight of the past in that mean."""
_SMOOTHING = 0.03
"""Standard deviation of the kernel that smooths the finished curve, as a share of its steps."""
_FLAT = 0.1
"""Share of the steps, the first ones, whose rates are too small to change anything."""
_SURE = 5.0
"""A fall of the loss counts from so many standard errors on."""


class RangeTest:
    """Trains with a rate for each step, and keeps the losses: the `Keeper` of the trainer that it drives.

    See Smith, WACV 2017, arXiv:1506.01186.
    """

    def __init__(self, rates: Sequence[float]) -> None:
        """Name the rate of each step."""
        self.rates = rates
        self.losses: list[float] = []
        self._sum, self._lowest = 0.0, math.inf

    def drive(self, trainer: Trainer, feed: Feed, *, lr: float) -> None:
        """Take the steps, or as many of them as end before the loss explodes.

        Args:
            trainer: Has this test as its keeper; its model is of no use afterwards.
            feed: What to train on, as many epochs as it takes.
            lr: The rate that the trainer's optimiser was made with; parts with a rate of their own keep the ratio.

        Raises:
            NumericsError: Already the first loss is not finite.
        """
        trainer.schedule = Schedule(trainer.optimizer, lambda step: self.rates[min(step, len(self.rates) - 1)] / lr)
        try:
            while True:
                trainer.train_epoch(feed)
                trainer.progress.epoch, trainer.progress.batch = trainer.progress.epoch + 1, 0
        except _Enough:
            return
        except NumericsError:
            if not self.losses:
                raise

    def save(self, trainer: Trainer, *, kept: bool) -> None:
        """Nothing but the losses is kept."""

    def stop_if_asked(self, trainer: Trainer, *, saved: bool = False) -> None:
        """Note the loss of the step just taken, and end the test if that was the last."""
        progress = trainer.progress
        if progress.step > len(self.losses):  # not one that was skipped, as fp16 gradients overflowed
            self.losses.append(progress.loss_sum / progress.images)
            self._sum = _MEMORY * self._sum + (1 - _MEMORY) * self.losses[-1]
        progress.loss_sum, progress.images = 0.0, 0
        mean = self._sum / (1 - _MEMORY ** len(self.losses)) if self.losses else 0.0
        self._lowest = min(self._lowest, mean)
        if len(self.losses) == len(self.rates) or mean > DIVERGED * self._lowest:
            raise _Enough


def smooth(losses: Sequence[float]) -> NDArray[np.float64]:
    """The curve [T] without its noise, and without the delay of a running mean."""
    return np.asarray(gaussian_filter1d(np.array(losses, float), max(1.0, _SMOOTHING * len(losses)), mode="nearest"))


def steepest(rates: Sequence[float], losses: Sequence[float]) -> float | None:
    """The rate at which the loss falls fastest, before it is at its lowest; None where no fall is sure.

    Args:
        rates: One a step, growing by a constant factor [T].
        losses: One a step [T].
    """
    first = max(3, round(_FLAT * len(losses)))
    if len(losses) < 2 * first:
        return None
    curve = smooth(losses)
    lowest = int(curve.argmin())
    # Of one step, from neighbours: the median is blind to the end, where the loss explodes.
    noise = 1.05 * float(np.median(np.abs(np.diff(losses))))
    fall = float(np.mean(losses[:first])) - curve[lowest]
    if lowest < first or fall <= _SURE * noise / math.sqrt(first):
        return None
    return float(rates[int(np.gradient(curve)[: lowest + 1].argmin())])


class _Enough(Exception):
    """The test is over."""
