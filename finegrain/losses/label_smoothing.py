"""Cross-entropy against smoothed labels."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from finegrain.config import Probability
from finegrain.losses.base import LossConfig
from finegrain.losses.cross_entropy import CrossEntropyLoss


@dataclass(kw_only=True, slots=True)
class LabelSmoothing(LossConfig):
    """Cross-entropy with targets `(1 - ε) y + ε / K` (Szegedy et al., CVPR 2016, arXiv:1512.00567)."""

    smoothing: Probability = 0.1
    """ε, the share of each label that is spread over all classes."""

    def build(self, class_counts: Sequence[int]) -> nn.Module:
        """See `LossConfig.build`."""
        return CrossEntropyLoss(self.weight(class_counts), label_smoothing=self.smoothing)
