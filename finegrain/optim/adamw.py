"""Adam with decoupled weight decay."""

from dataclasses import dataclass
from typing import Any

import torch

from finegrain.config import NonNegative, Positive
from finegrain.optim.base import OptimConfig


@dataclass(kw_only=True, slots=True)
class AdamW(OptimConfig):
    """torch.optim.AdamW (Loshchilov & Hutter, ICLR 2019, arXiv:1711.05101); weights shrink by lr × weight_decay."""

    lr: Positive = 3e-4
    """Learning rate after the warm-up."""
    weight_decay: NonNegative = 0.05
    """Weight decay per step, in units of the learning rate."""

    def optimizer(self, groups: list[dict[str, Any]]) -> torch.optim.AdamW:
        """See `OptimConfig.optimizer`."""
        return torch.optim.AdamW(groups, lr=self.lr, fused=True)
