"""Train the last block's self-attention and the head."""

from dataclasses import dataclass

from finegrain.tuning.attention import self_attention
from finegrain.tuning.base import Tunable, Tuning


@dataclass(kw_only=True, slots=True)
class LastAttention(Tuning):
    """One self-attention module, the last, is trained with the classifier layer."""

    def apply(self, classifier: Tunable) -> None:
        """Freeze all but the last self-attention and the classifier layer.

        Raises:
            ConfigError: The network has no attention.
        """
        last = self_attention(classifier)[-1]
        classifier.set_trainable((last, classifier.head_name), boundary=last)
