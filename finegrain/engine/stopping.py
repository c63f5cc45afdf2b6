"""Which epoch was the best, and when to stop waiting for a better one."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(kw_only=True, slots=True)
class Best:
    """The best epoch so far by one validation metric; of equal ones the earliest."""

    mode: Literal["max", "min"] = "max"
    """Whether a larger or a smaller value is better."""
    patience: int | None = None
    """Epochs without a new best after which `exhausted` holds; None: never."""
    value: float | None = None
    """The best value; None before the first finite one."""
    epoch: int | None = None
    """The epoch it belongs to."""
    waited: int = 0
    """Epochs since the best one."""

    def update(self, value: float, epoch: int) -> bool:
        """Record an epoch's value, once an epoch; return whether it is the best. NaN and infinity never are."""
        if math.isfinite(value) and (self.value is None or self._beats(value, self.value)):
            self.value, self.epoch, self.waited = value, epoch, 0
            return True
        self.waited += 1
        return False

    @property
    def exhausted(self) -> bool:
        """Whether patience is used up."""
        return self.patience is not None and self.waited >= self.patience

    def state_dict(self) -> dict[str, float | int | None]:
        """Plain numbers that continue the tracking."""
        return {"value": self.value, "epoch": self.epoch, "waited": self.waited}

    def load_state_dict(self, state: Mapping[str, float | int | None]) -> None:
        """Continue where `state` was taken."""
        epoch, waited = state["epoch"], state["waited"]
        self.value = state["value"]
        self.epoch = None if epoch is None else int(epoch)
        self.waited = int(waited or 0)

    def _beats(self, value: float, other: float) -> bool:
        return value > other if self.mode == "max" else value < other
