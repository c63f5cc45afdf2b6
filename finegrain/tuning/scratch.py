"""Train every layer from random weights, as the yardstick that transfer is measured against."""

from dataclasses import dataclass
from typing import ClassVar

from finegrain.tuning.base import Tunable, Tuning


@dataclass(kw_only=True, slots=True)
class Scratch(Tuning):
    """Every parameter is trained, and none was pretrained."""

    pretrained: ClassVar[bool] = False

    def apply(self, classifier: Tunable) -> None:
        """Freeze nothing."""
        classifier.set_trainable(("network",))
