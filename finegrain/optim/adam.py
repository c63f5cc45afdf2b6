"""Adam."""

from dataclasses import dataclass
from typing import Any

import torch

from finegrain.config import Positive
from finegrain.optim.base import OptimConfig


@dataclass(kw_only=True, slots=True)
class Adam(OptimConfig):
    """torch.optim.Adam (Kingma & Ba, ICLR 2015, arXiv:1412.6980); weight decay is added to the gradient."""

    lr: Positive = 3e-4
    """Learning rate after the warm-up."""

    def optimizer(self, groups: list[dict[str, Any]]) -> torch.optim.Adam:
        """See `OptimConfig.optimizer`."""
        return torch.optim.Adam(groups, lr=self.lr, fused=True)
