"""What adapters have in common: few parameters put on layers that stay frozen, and which layers those are."""

import logging
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from finegrain.config import Range
from finegrain.errors import ConfigError, fault
from finegrain.tuning.base import AdaptableLayer, Tunable, Tuning

logger = logging.getLogger(__name__)

Rank = Annotated[int, Range(least=1, most=1024)]
"""Of a product in an adapter."""


@dataclass(kw_only=True, slots=True)
class Adapter(Tuning):
    """An adapter on some layers is trained, with the classifier layer; a subclass says of which kind."""

    small: ClassVar[bool] = True

    target: str | None = None
    """Regular expression for the ends of the layers' paths, e.g. `qkv` or `mlp\\.fc[12]`; none: self-attention, or,
    where there is none, every block's convolutions and linear layers."""

    def faults(self) -> list[str]:
        """A target must be a regular expression."""
        try:
            re.compile(self.target or "")
        except re.error as error:
            expected, remedy = "a regular expression", "e.g. tuning.target=qkv"
            return [fault(f"tuning.target: {error}", got=self.target, expected=expected, remedy=remedy)]
        return []

    def settings(self, targets: Sequence[AdaptableLayer]) -> Mapping[str, Any]:
        """peft's fields for this kind of adapter on the layers `targets`."""
        raise NotImplementedError

    def apply(self, classifier: Tunable) -> None:
        """Put the adapter on its layers and freeze all but it and the classifier layer.

        Raises:
            ConfigError: No layer is meant.
        """
        targets = self.targets(classifier)
        logger.info("%s on %d layers: %s", type(self).__name__, len(targets), outline(targets))
        classifier.adapt(self.settings(targets), [layer.path for layer in targets])

    def targets(self, classifier: Tunable) -> list[AdaptableLayer]:
        """The layers that the adapter is put on, in order.

        Raises:
            ConfigError: There are none.
        """
        layers = list(classifier.adaptable_layers())
        if self.target is None:
            return self.usual_targets(classifier, layers)
        pattern = re.compile(self.target)
        found = [layer for layer in layers if any(map(pattern.fullmatch, _ends(layer.path)))]
        if not found:
            expected, remedy = (
                f"the end of one of {outline(layers)}",
                "set tuning.target to a regular expression for some",
            )
            what = f"tuning.target matches no layer of {classifier.architecture}"
            raise ConfigError(fault(what, got=self.target, expected=expected, remedy=remedy))
        return found

    def usual_targets(self, classifier: Tunable, layers: Sequence[AdaptableLayer]) -> list[AdaptableLayer]:
        """Where such adapters are put when nothing is said: stem and head are left alone."""
        attention = [layer for layer in layers if layer.in_attention]
        blocks = tuple(f"{path}." for group in classifier.layer_groups()[1:-1] for path in group.module_paths)
        return attention or [layer for layer in layers if f"{layer.path}.".startswith(blocks)]


def _ends(path: str) -> list[str]:
    """The path within the network from each of its names on: `blocks.0.qkv`, `0.qkv`, `qkv`."""
    names = path.removeprefix("network.").split(".")
    return [".".join(names[start:]) for start in range(len(names))]


def outline(layers: Sequence[AdaptableLayer]) -> str:
    """The layers' paths, those alike but for numbers before the last dot as one: `blocks.*.attn.qkv (12)`."""
    kinds = Counter(re.sub(r"\d+(?=.*\.)", "*", layer.path.removeprefix("network.")) for layer in layers)
    return ", ".join(f"{kind} ({count})" for kind, count in kinds.items())
