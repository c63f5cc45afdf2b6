"""Train the norms and the head."""

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from finegrain.errors import ConfigError, fault
from finegrain.tuning.base import Tunable, Tuning


@dataclass(kw_only=True, slots=True)
class Norms(Tuning):
    """Scales and shifts of all norms are trained (Frankle et al., ICLR 2021, arXiv:2003.00152; for ViTs: LN-tuning)."""

    small: ClassVar[bool] = True

    frozen_statistics: bool = False
    """BatchNorm keeps the pretrained mean and variance: better from few images."""

    def apply(self, classifier: Tunable) -> None:
        """Freeze all but norms and the classifier layer.

        Raises:
            ConfigError: The network has none.
        """
        norms = [path for path, module in classifier.named_modules() if _is_norm(module)]
        if not norms:
            what, remedy = f"{classifier.architecture} has no norms to tune", "choose another tuning, e.g. BitFit"
            raise ConfigError(fault(what, got="0 norms", expected="at least 1", remedy=remedy))
        boundary = classifier.first_module_around(norms)
        classifier.set_trainable(
            (*norms, classifier.head_name), boundary=boundary, frozen_statistics=self.frozen_statistics
        )


def _is_norm(module: nn.Module) -> bool:
    """Whether it is a norm with parameters, by its class name: libraries share no base class."""
    return "norm" in type(module).__name__.lower() and any(True for _ in module.parameters(recurse=False))
