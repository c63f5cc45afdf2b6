"""Find, by watching one forward pass, the last place where a network still knows where in the image it is."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from finegrain.errors import ConfigError, fault

Arrangement = Literal["channels first", "channels last", "tokens"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Layer:
    """A module whose output is a grid of features over the image."""

    module: nn.Module
    arrangement: Arrangement
    """[B, C, h, w], [B, h, w, C] or [B, P + h·w, C]."""
    height: int
    """h."""
    width: int
    """w."""
    prefix: int = 0
    """P, the tokens before the grid's: class, distillation, registers."""

    def as_grid(self, output: Tensor) -> Tensor:
        """What the module gives, or its gradient, as [B, C, h, w]."""
        if self.arrangement == "channels first":
            return output
        if self.arrangement == "channels last":
            return output.permute(0, 3, 1, 2)
        tokens = output[:, self.prefix :]
        return tokens.transpose(1, 2).reshape(len(tokens), -1, self.height, self.width)


def find_layer(network: nn.Module, images: Tensor, *, head: nn.Module, attentions: Sequence[nn.Module]) -> Layer:
    """The layer to explain `network` by.

    - Where what runs last before the head gives a grid (CNNs, Swin): that module.
    - Where it gives a sequence of tokens: the norm that the last self-attention reads. The blocks' own output will not
      do: where the class token alone is classified, the last one's other tokens have no gradient.

    Args:
        network: In eval mode.
        images: float [B, 3, S, S]; two of them are run.
        head: The classifier layer; what runs from it on is not looked at.
        attentions: The self-attention modules, in order.

    Raises:
        ConfigError: No module gives one grid or sequence an image.
    """
    outputs, queries = _watch(network, images[:1].expand(2, -1, -1, -1), head=head, attentions=attentions)
    spatial = [(module, output) for module, output in outputs if _is_grid(output) or _is_tokens(output)]
    if not spatial:
        raise ConfigError(_unknown(network, "no module that gives a grid or tokens"))
    module, output = spatial[-1]
    if _is_grid(output):
        height, width = _sides(output)
        arrangement: Arrangement = "channels first" if output.shape[2:] == (height, width) else "channels last"
        return Layer(module=module, arrangement=arrangement, height=height, width=width)
    if queries:
        givers = [(module, output) for module, output in outputs if output is queries[-1]]
        if not givers:
            raise ConfigError(_unknown(network, "an attention that reads no module's output"))
        module, output = givers[-1]
    height, width = _grid_of(output.shape[1], [output for _, output in outputs if _is_grid(output)])
    if not height:
        raise ConfigError(_unknown(network, f"{output.shape[1]} tokens an image, which fill no grid"))
    prefix = output.shape[1] - height * width
    return Layer(module=module, arrangement="tokens", height=height, width=width, prefix=prefix)


@torch.no_grad()
def _watch(
    network: nn.Module, images: Tensor, *, head: nn.Module, attentions: Sequence[nn.Module]
) -> tuple[list[tuple[nn.Module, Tensor]], list[Tensor]]:
    """What each module gave, in the order they finished, before the head; and what each attention read."""
    outputs: list[tuple[nn.Module, Tensor]] = []
    queries: list[Tensor] = []
    begun = False

    def end(*_: Any) -> None:
        nonlocal begun
        begun = True

    def note(module: nn.Module, _: Any, output: Any) -> None:
        if not begun and isinstance(output, Tensor) and output.shape[:1] == images.shape[:1]:
            outputs.append((module, output))

    def read(_: nn.Module, inputs: tuple[Any, ...]) -> None:
        if not begun and inputs and isinstance(inputs[0], Tensor) and _is_tokens(inputs[0]):
            queries.append(inputs[0])

    hooks = [head.register_forward_pre_hook(end)]
    hooks += [module.register_forward_hook(note) for module in network.modules()]
    hooks += [module.register_forward_pre_hook(read) for module in attentions]
    try:
        network(images)
    finally:
        for hook in hooks:
            hook.remove()
    return outputs, queries


def _is_grid(output: Tensor) -> bool:
    if output.ndim != 4:
        return False
    _, first, middle, last = output.shape
    return (middle == last and middle > 1) or (first == middle and first > 1)


def _is_tokens(output: Tensor) -> bool:
    return output.ndim == 3 and output.shape[1] > 1


def _grid_of(tokens: int, grids: Sequence[Tensor]) -> tuple[int, int]:
    """Sides of the grid that the last of `tokens` fill: of the last of `grids` they can, or a square; else (0, 0)."""
    for grid in reversed(grids):
        height, width = _sides(grid)
        if height * width <= tokens:
            return height, width
    side = math.isqrt(tokens)
    return (side, side) if side**2 == tokens else (0, 0)


def _sides(grid: Tensor) -> tuple[int, int]:
    _, first, middle, last = grid.shape
    return (middle, last) if middle == last else (first, middle)


def _unknown(network: nn.Module, got: str) -> str:
    return fault(
        f"{type(network).__name__} cannot be explained",
        got=got,
        expected="a grid of features, or tokens of patches, before the head",
        remedy="choose a CNN, ViT or Swin, or larger images",
    )
