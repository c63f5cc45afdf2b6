"""What a tuning is: the choice of the parts of a network that are trained, all others being frozen."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

from finegrain.config import Count


class LayerGroup(Protocol):
    """Consecutive layers of a network."""

    @property
    def module_paths(self) -> tuple[str, ...]:
        """Paths of its modules, the first to run first."""
        ...


class Tunable(Protocol):
    """What a tuning needs to know of a classifier; paths start from the classifier itself."""

    @property
    def architecture(self) -> str:
        """For messages, e.g. `timm/resnet50`."""
        ...

    @property
    def head_name(self) -> str:
        """Path of the classifier layer."""
        ...

    def layer_groups(self) -> Sequence[LayerGroup]:
        """From stem to head."""
        ...

    def attention_modules(self) -> tuple[str, ...]:
        """Paths of its self-attention modules, in order."""
        ...

    def set_trainable(
        self, module_paths: Sequence[str], *, boundary: str | None = None, frozen_statistics: bool = False
    ) -> None:
        """Train these modules only; what runs before `boundary` records no graph."""
        ...


@dataclass(kw_only=True, slots=True)
class Tuning:
    """Which parts are trained; a member of the family is a subclass in its own file."""

    pretrained: ClassVar[bool] = True
    """Whether it may start from pretrained weights."""
    freezes: ClassVar[bool] = True
    """Whether the layers that run first stay as they are."""

    probe_first: bool = False
    """Start the head as a linear probe of the pretrained features (LP-FT, Kumar et al., ICLR 2022)."""
    cached_views: Count | None = None
    """Augmented views of each train image whose frozen part is computed once, then shown in turn; none: fresh ones."""

    def apply(self, classifier: Tunable) -> None:
        """Freeze all but the chosen parts.

        Raises:
            ConfigError: The network has no such parts.
        """
        raise NotImplementedError
