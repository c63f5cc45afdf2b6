"""How the learning rates move in the course of a run."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch.optim import Optimizer

from finegrain.config import NonNegative
from finegrain.errors import ConfigError, fault


@dataclass(kw_only=True, slots=True)
class ScheduleConfig:
    """What every schedule has in common; a schedule is a subclass in its own file.

    A schedule multiplies the rate of every parameter group by one factor, so that head rate and layer-wise decay
    keep their ratios down to the end. The factor is a pure function of the epoch: nothing drifts, and a resumed
    run continues on the bit.
    """

    warmup_epochs: NonNegative = 0.0
    """Length of the linear warm-up in epochs, part of the run's epochs."""

    def factor(self, epoch: float, *, start: float, end: float) -> float:
        """Multiplier of the rates after the warm-up, in [0, 1].

        Args:
            epoch: Epochs since the run began, with a fraction.
            start: Epoch at which the warm-up is over.
            end: Epochs of the whole run.
        """
        raise NotImplementedError

    def build(self, optimizer: Optimizer, *, steps_per_epoch: int, epochs: float) -> "Schedule":
        """Make the schedule of `optimizer`, whose rates become those of the first step.

        The warm-up's step s of W has `(s + 1) / (W + 1)` of the rate; step W is the first at the full rate.

        Args:
            optimizer: Its groups' rates are the full ones.
            steps_per_epoch: Optimiser steps an epoch.
            epochs: Epochs of the run, with a fraction where it ends within one.

        Raises:
            ConfigError: The warm-up is longer than the run.
        """
        if self.warmup_epochs > epochs:
            remedy = "lower schedule.warmup_epochs or raise train.epochs"
            raise ConfigError(
                fault("the warm-up is too long", got=self.warmup_epochs, expected=f"≤ {epochs:g} epochs", remedy=remedy)
            )
        warmup_steps = round(self.warmup_epochs * steps_per_epoch)

        def factor(step: int) -> float:
            ramp = min(1.0, (step + 1) / (warmup_steps + 1))
            start = warmup_steps / steps_per_epoch
            return ramp * self.factor(max(step / steps_per_epoch, start), start=start, end=epochs)

        return self.schedule(optimizer, factor)

    def schedule(self, optimizer: Optimizer, factor: Callable[[int], float]) -> "Schedule":
        """The object that a run steps; a member that listens to validation returns its own."""
        return Schedule(optimizer, factor)


class Schedule:
    """Sets the learning rates: `step` follows each optimiser step, `epoch_end` each validation."""

    def __init__(self, optimizer: Optimizer, factor: Callable[[int], float]) -> None:
        """Set the rates of step 0.

        Args:
            optimizer: Its groups' rates are the full ones, kept in each group as `initial_lr`.
            factor: Multiplier of the rates at a step.
        """
        self._optimizer, self._factor, self._step = optimizer, factor, 0
        for group in optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])
        self._apply()

    def step(self) -> None:
        """Move on to the rates of the next optimiser step."""
        self._step += 1
        self._apply()

    def epoch_end(self, *, improved: bool) -> None:
        """Hear whether the epoch's validation was the best so far; only schedules that react to it do anything."""

    def state_dict(self) -> dict[str, int]:
        """Plain numbers that continue the schedule."""
        return {"step": self._step}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Continue where `state` was taken, setting the rates."""
        self._step = state["step"]
        self._apply()

    def _scale(self) -> float:
        return self._factor(self._step)

    def _apply(self) -> None:
        scale = self._scale()
        for group in self._optimizer.param_groups:
            group["lr"] = group["initial_lr"] * scale
