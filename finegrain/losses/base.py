"""What every training loss has in common: its config section and the weights of the classes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn


@dataclass(kw_only=True, slots=True)
class LossConfig:
    """What every loss has in common; a loss is a subclass in its own file."""

    class_weights: Literal["none", "balanced"] = "none"
    """Weigh every image alike, or every class alike: a class's weight is inverse to its number of train images."""

    def build(self, class_counts: Sequence[int]) -> nn.Module:
        """Make the loss, which maps logits [B, K] and a target to a scalar, computed in float32.

        The target is class indices [B] or, after mixup or cutmix, class probabilities [B, K]. The result is the
        mean over the batch, each image weighing as much as its classes do.

        Args:
            class_counts: Train images of each class, [K].
        """
        raise NotImplementedError

    def weight(self, class_counts: Sequence[int]) -> Tensor | None:
        """Weights of the classes, float32 [K], with mean 1 over the train images; None where all weigh alike.

        "balanced" is scikit-learn's rule `N / (K n_k)` over the K classes that have images. A class without any gets
        the neutral weight 1: its images can still occur in validation, and a mean must not divide by zero.
        """
        if self.class_weights == "none":
            return None
        counts = torch.tensor(class_counts, dtype=torch.float64)
        present = counts > 0
        balanced = counts.sum() / (present.sum() * counts.clamp(min=1))
        return torch.where(present, balanced, torch.ones_like(balanced)).float()
