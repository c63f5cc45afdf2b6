"""Cross-entropy for class indices and for class probabilities."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional

from finegrain.losses.base import LossConfig


@dataclass(kw_only=True, slots=True)
class CrossEntropy(LossConfig):
    """`-log p_y`, the mean over the batch."""

    def build(self, class_counts: Sequence[int]) -> nn.Module:
        """See `LossConfig.build`."""
        return CrossEntropyLoss(self.weight(class_counts))


class CrossEntropyLoss(nn.Module):
    """Mean cross-entropy `Σ_b Σ_k w_k y_bk (-log p_bk) / Σ_b Σ_k w_k y_bk`.

    Equals torch's for class indices. For weighted class probabilities torch divides by B; here the same weighted
    mean holds, so that a one-hot target costs what its class index costs.
    """

    weight: Tensor | None

    def __init__(self, weight: Tensor | None = None, *, label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.register_buffer("weight", weight, persistent=False)
        self.label_smoothing = label_smoothing

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the scalar loss.

        Args:
            logits: [B, K], any floating type.
            target: Class indices int64 [B], or class probabilities [B, K].
        """
        logits, smoothing = logits.float(), self.label_smoothing
        if target.ndim == 1 or self.weight is None:
            return functional.cross_entropy(logits, target, self.weight, label_smoothing=smoothing)
        total = functional.cross_entropy(logits, target, self.weight, label_smoothing=smoothing, reduction="sum")
        return total / (target * self.weight).sum()
