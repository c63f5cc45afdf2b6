"""Train the self-attention of every block and the head; the MLPs, norms and embeddings stay."""

from dataclasses import dataclass

from finegrain.errors import ConfigError, fault
from finegrain.tuning.base import Tunable, Tuning


@dataclass(kw_only=True, slots=True)
class Attention(Tuning):
    """All attention modules are trained (Touvron et al., Three things everyone should know about ViTs, ECCV 2022)."""

    def apply(self, classifier: Tunable) -> None:
        """Freeze all but self-attention and the classifier layer.

        Raises:
            ConfigError: The network has no attention.
        """
        modules = self_attention(classifier)
        classifier.set_trainable((*modules, classifier.head_name), boundary=modules[0])


def self_attention(classifier: Tunable) -> tuple[str, ...]:
    """Paths of the network's self-attention modules, in order.

    Raises:
        ConfigError: It has none.
    """
    modules = classifier.attention_modules()
    if not modules:
        remedy = "choose the tuning LastBlock, or a vision transformer"
        what = f"{classifier.architecture} has no self-attention to tune"
        raise ConfigError(fault(what, got="0 attention modules", expected="at least 1", remedy=remedy))
    return modules
