"""Adam."""

from dataclasses import dataclass
from typing import Any

import torch

from finegrain.config import Positive, Probability
from finegrain.optim.base import OptimConfig


@dataclass(kw_only=True, slots=True)
class Adam(OptimConfig):
    """torch.optim.Adam (Kingma & Ba, ICLR 2015, arXiv:1412.6980); weight decay is added to the gradient."""

    lr: Positive = 3e-4
    """Learning rate after the warm-up."""
    betas: tuple[Probability, Probability] = (0.9, 0.999)
    """Decay of the averages of the gradient and of its square."""
    eps: Positive = 1e-8
    """Added to the denominator."""

    def optimizer(self, groups: list[dict[str, Any]]) -> torch.optim.Adam:
        """See `OptimConfig.optimizer`."""
        return torch.optim.Adam(groups, lr=self.lr, betas=self.betas, eps=self.eps)
