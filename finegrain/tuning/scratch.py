"""Train every layer from random weights, as the yardstick that transfer is measured against."""

from dataclasses import dataclass

from finegrain.errors import ConfigError, fault
from finegrain.tuning.base import Tunable, Tuning


@dataclass(kw_only=True, slots=True)
class Scratch(Tuning):
    """Every parameter is trained, and none was pretrained."""

    def apply(self, classifier: Tunable) -> None:
        """Freeze nothing.

        Raises:
            ConfigError: The classifier carries pretrained weights.
        """
        if classifier.pretrained is not None:
            remedy = "set model.weights=none, or choose the tuning Full"
            raise ConfigError(
                fault("scratch starts from random weights", got=classifier.pretrained, expected="none", remedy=remedy)
            )
        classifier.set_trainable(("network",))
