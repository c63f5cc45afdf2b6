"""Train the classifier layer only: a linear probe by gradient descent."""

from dataclasses import dataclass

from finegrain.tuning.base import Tunable, Tuning


@dataclass(kw_only=True, slots=True)
class Head(Tuning):
    """The last linear layer is trained, on fixed features."""

    def apply(self, classifier: Tunable) -> None:
        """Freeze all but the classifier layer."""
        classifier.set_trainable((classifier.head_name,), boundary=classifier.head_name)
