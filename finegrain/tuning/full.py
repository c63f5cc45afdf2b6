"""Train every layer."""

from dataclasses import dataclass

from finegrain.tuning.base import Tunable, Tuning


@dataclass(kw_only=True, slots=True)
class Full(Tuning):
    """Every parameter is trained, from the pretrained weights on."""

    def apply(self, classifier: Tunable) -> None:
        """Freeze nothing."""
        classifier.set_trainable(("network",))
