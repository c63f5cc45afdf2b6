"""Visual prompts: learned tokens that go through a vision transformer's blocks beside those of the image."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import timm.models
import torch
import torchvision.models
from torch import Tensor, nn

from finegrain.errors import ConfigError, fault

MOST = 1000
"""Prompts at one place: a folder must not make a network of any size."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PromptLayout:
    """How many prompts there are, and where; as it stands in `config.json`."""

    count: int
    """At each place, 1 to `MOST`."""
    deep: bool
    """Fresh ones for every block, or one set that goes through all."""

    def __post_init__(self) -> None:
        """Refuse what no file of this project says.

        Raises:
            ValueError: A field is of another type or size.
        """
        if type(self.count) is not int or type(self.deep) is not bool or not 1 <= self.count <= MOST:
            raise ValueError(f"prompts: count {self.count!r}, deep {self.deep!r}")


class PromptTokens(nn.Module):
    """Tokens that enter with one block's input, after the class token, and leave with a block's output."""

    def __init__(self, count: int, patches: nn.Conv2d, *, prefix: int) -> None:
        """Start from random tokens, uniform as Xavier's weights of the patch embedding would be.

        Args:
            count: Tokens.
            patches: The network's patch embedding, to D channels.
            prefix: Tokens of the network's own that stay before them.
        """
        super().__init__()
        width, *patch = patches.weight.shape
        bound = math.sqrt(6 / (math.prod(patch) + width))
        self.tokens = nn.Parameter(torch.empty(count, width).uniform_(-bound, bound))
        self.prefix = prefix

    def forward(self, tokens: Tensor) -> Tensor:
        """Map [B, N, D] to [B, N + count, D]."""
        own = self.tokens.expand(len(tokens), -1, -1)
        return torch.cat([tokens[:, : self.prefix], own, tokens[:, self.prefix :]], dim=1)

    def enter(self, _: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        """As a hook before a block; by a call of this module, so that hooks on it are called."""
        return (self(inputs[0]), *inputs[1:])

    def leave(self, _: nn.Module, __: Any, tokens: Tensor) -> Tensor:
        """As a hook after a block: its output [B, N + count, D] without the prompts' places."""
        return torch.cat([tokens[:, : self.prefix], tokens[:, self.prefix + len(self.tokens) :]], dim=1)


def insert_prompts(network: nn.Module, layout: PromptLayout) -> None:
    """Add `network.prompts`, by hooks on the blocks: all that is in the network keeps its name.

    Args:
        network: A vision transformer, changed in place.
        layout: Which prompts.

    Raises:
        ConfigError: The network is none that takes further tokens.
    """
    blocks, patches, prefix = _trunk(network)
    spans = [(block, block) for block in blocks] if layout.deep else [(blocks[0], blocks[-1])]
    network.prompts = nn.ModuleList()
    for first, last in spans:
        prompts = PromptTokens(layout.count, patches, prefix=prefix)
        network.prompts.append(prompts)
        # Bound methods: the hooks of a deep copy are bound to the copy.
        first.register_forward_pre_hook(prompts.enter)
        last.register_forward_hook(prompts.leave)


def _trunk(network: nn.Module) -> tuple[Sequence[nn.Module], nn.Conv2d, int]:
    """Blocks, patch embedding, and the number of tokens before those of patches."""
    if isinstance(network, timm.models.VisionTransformer) and isinstance(network.patch_embed.proj, nn.Conv2d):
        return list(network.blocks), network.patch_embed.proj, network.num_prefix_tokens
    if isinstance(network, torchvision.models.VisionTransformer) and isinstance(network.conv_proj, nn.Conv2d):
        return list(network.encoder.layers), network.conv_proj, 1
    expected, remedy = "a plain vision transformer of timm or torchvision", "choose another tuning, e.g. Lora"
    what = "this network takes no prompts"
    raise ConfigError(fault(what, got=type(network).__name__, expected=expected, remedy=remedy))
