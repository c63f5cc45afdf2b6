"""Train every layer."""

from dataclasses import dataclass
from typing import ClassVar

from finegrain.tuning.base import Tunable, Tuning


@dataclass(kw_only=True, slots=True)
class Full(Tuning):
    """Every parameter is trained, from the pretrained weights on."""

    freezes: ClassVar[bool] = False

    frozen_statistics: bool = False
    """BatchNorm keeps the pretrained mean and variance and trains its scale and shift: better from few images."""

    def apply(self, classifier: Tunable) -> None:
        """Freeze nothing."""
        classifier.set_trainable(("network",), frozen_statistics=self.frozen_statistics)
