"""Stochastic gradient descent with momentum."""

from dataclasses import dataclass
from typing import Any

import torch

from finegrain.config import Positive, Probability
from finegrain.errors import fault
from finegrain.optim.base import OptimConfig


@dataclass(kw_only=True, slots=True)
class SGD(OptimConfig):
    """torch.optim.SGD; weight decay is added to the gradient."""

    lr: Positive = 1e-2
    """Learning rate after the warm-up."""
    momentum: Probability = 0.9
    """Share of the last update that is kept."""
    nesterov: bool = False
    """Look ahead along the momentum."""

    def faults(self) -> list[str]:
        """What the types cannot say."""
        if not self.nesterov or self.momentum > 0:
            return []
        remedy = "set optim.momentum=0.9 or optim.nesterov=false"
        return [fault("Nesterov needs momentum", got=self.momentum, expected="optim.momentum > 0", remedy=remedy)]

    def optimizer(self, groups: list[dict[str, Any]]) -> torch.optim.SGD:
        """See `OptimConfig.optimizer`."""
        return torch.optim.SGD(groups, lr=self.lr, momentum=self.momentum, nesterov=self.nesterov, fused=True)
