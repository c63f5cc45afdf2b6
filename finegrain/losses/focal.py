"""Focal loss: images that are already classified well count less."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from finegrain.config import NonNegative
from finegrain.losses.base import LossConfig


@dataclass(kw_only=True, slots=True)
class Focal(LossConfig):
    """`-(1 - p_y)^γ log p_y` (Lin et al., ICCV 2017, arXiv:1708.02002); their α is `class_weights`."""

    gamma: NonNegative = 2.0
    """Focusing power γ; 0 is cross-entropy."""

    def build(self, class_counts: Sequence[int]) -> nn.Module:
        """See `LossConfig.build`."""
        return FocalLoss(self.weight(class_counts), gamma=self.gamma)


class FocalLoss(nn.Module):
    """Mean focal loss `Σ_b Σ_k w_k y_bk (1 - p_bk)^γ (-log p_bk) / Σ_b Σ_k w_k y_bk`."""

    weight: Tensor | None

    def __init__(self, weight: Tensor | None = None, *, gamma: float) -> None:
        super().__init__()
        self.register_buffer("weight", weight, persistent=False)
        self.gamma = gamma

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the scalar loss.

        Args:
            logits: [B, K], any floating type.
            target: Class indices int64 [B], or class probabilities [B, K].
        """
        log_p = logits.float().log_softmax(dim=1)
        if target.ndim == 1:
            target = functional.one_hot(target, num_classes=logits.shape[1])
        share = target.float() if self.weight is None else target * self.weight
        # Not below the smallest normal number: for γ < 1 the power's slope at 0 is infinite, and times log 1 = 0 a NaN.
        miss = (-torch.expm1(log_p)).clamp(min=torch.finfo(log_p.dtype).tiny)
        return -(share * miss.pow(self.gamma) * log_p).sum() / share.sum()
