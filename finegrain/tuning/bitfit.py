"""Train the biases and the head; the weights stay."""

from dataclasses import dataclass
from typing import ClassVar

from finegrain.tuning.base import Tunable, Tuning


@dataclass(kw_only=True, slots=True)
class BitFit(Tuning):
    """Every bias of the network is trained, norms' included (Ben Zaken et al., ACL 2022, arXiv:2106.10199).

    BatchNorm keeps the pretrained mean and variance, and is as in evaluation.
    """

    small: ClassVar[bool] = True

    def apply(self, classifier: Tunable) -> None:
        """Freeze all but biases and the classifier layer."""
        biases = [name for name, _ in classifier.named_parameters() if name.rpartition(".")[2].endswith("bias")]
        layers = [name.rpartition(".")[0] for name in biases]
        boundary = classifier.first_module_around(layers)
        classifier.set_trainable((classifier.head_name,), parameter_names=biases, boundary=boundary)
