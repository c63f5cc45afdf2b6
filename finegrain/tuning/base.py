"""What a tuning is: the choice of the parts of a network that are trained, all others being frozen."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from torch import nn

from finegrain.config import Count


class LayerGroup(Protocol):
    """Consecutive layers of a network."""

    @property
    def module_paths(self) -> tuple[str, ...]:
        """Paths of its modules, the first to run first."""
        ...


class AdaptableLayer(Protocol):
    """A layer that an adapter can be put on."""

    @property
    def path(self) -> str:
        """E.g. `network.blocks.0.attn.qkv`."""
        ...

    @property
    def in_features(self) -> int:
        """Channels of a convolution."""
        ...

    @property
    def out_features(self) -> int:
        """Channels of a convolution."""
        ...

    @property
    def in_attention(self) -> bool:
        """Whether it is of a self-attention module."""
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

    def named_modules(self) -> Iterator[tuple[str, nn.Module]]:
        """Every module once, by its path."""
        ...

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Every parameter once, by its name."""
        ...

    def adaptable_layers(self) -> Sequence[AdaptableLayer]:
        """In order, without the classifier layer."""
        ...

    def adapt(self, settings: Mapping[str, Any], paths: Sequence[str]) -> None:
        """Put an adapter of peft's on these layers, and train it and the classifier layer only."""
        ...

    def add_prompts(self, *, count: int, deep: bool) -> str:
        """Put learned tokens beside a vision transformer's own, and give the path of the modules that hold them."""
        ...

    def first_module_around(self, names: Sequence[str]) -> str:
        """Path of the first block, or other module of the layer groups, that has one of these layers in it."""
        ...

    def set_trainable(
        self,
        module_paths: Sequence[str],
        *,
        parameter_names: Sequence[str] = (),
        boundary: str | None = None,
        frozen_statistics: bool = False,
    ) -> None:
        """Train these modules and single parameters only; what runs before `boundary` records no graph."""
        ...


@dataclass(kw_only=True, slots=True)
class Tuning:
    """Which parts are trained; a member of the family is a subclass in its own file."""

    pretrained: ClassVar[bool] = True
    """Whether it may start from pretrained weights."""
    freezes: ClassVar[bool] = True
    """Whether the layers that run first stay as they are."""
    small: ClassVar[bool] = False
    """Whether what is trained is so little that it is also kept apart from the rest, as an adapter."""

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

    def begin_epoch(self, classifier: Tunable, *, epoch: int) -> None:
        """Called before epoch `epoch`, from 0, and again where one is gone on with: freeze what is to rest in it.

        What `apply` made trainable is what the optimiser knows; this may only freeze parts of it for a time.
        """
