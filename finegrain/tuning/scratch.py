"""Train every layer from random weights, as the yardstick that transfer is measured against."""

from dataclasses import dataclass
from typing import ClassVar

from finegrain.errors import fault
from finegrain.tuning.base import Tunable, Tuning


@dataclass(kw_only=True, slots=True)
class Scratch(Tuning):
    """Every parameter is trained, and none was pretrained."""

    pretrained: ClassVar[bool] = False
    freezes: ClassVar[bool] = False

    def faults(self) -> list[str]:
        """Random features are not worth a probe."""
        if not self.probe_first:
            return []
        what, remedy = "tuning.probe_first needs pretrained weights", "leave it out, or choose the tuning Full"
        return [fault(what, got=True, expected="False when training from scratch", remedy=remedy)]

    def apply(self, classifier: Tunable) -> None:
        """Freeze nothing."""
        classifier.set_trainable(("network",))
