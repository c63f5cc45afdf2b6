"""Find, by watching one forward pass, the last places where a network still knows where in the image it is."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeGuard

import torch
from torch import Tensor, nn

from finegrain.errors import ConfigError, fault

Arrangement = Literal["channels first", "channels last", "tokens"]
FINEST = 7
"""A grid of so many cells a side is fine enough: what CNNs have left of ImageNet's 224 pixels."""


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


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Call:
    """What a module read and gave in one forward pass."""

    module: nn.Module
    read: object
    gave: Tensor


def find_layers(
    network: nn.Module, images: Tensor, *, head: nn.Module, attentions: Sequence[nn.Module]
) -> tuple[Layer, ...]:
    """The layers to explain `network` by, from first to last, all of one arrangement and grid; mostly one.

    - Where what runs last before the head gives a grid (CNNs, Swin): that module; if the grid has fewer than 7 × 7
      cells, as of small images, what the stage reads that goes below. On 3 × 3 cells a map of the drawn birds points
      at the middle and nowhere else (`benchmarks/explanations.py`).
    - Where it gives a sequence of tokens: the norms that the last third of the self-attentions read, as what a patch
      says is read in several of them: together they point better than the last alone (`docs/explanations.md`). The
      blocks' own output will not do: where the class token alone is classified, the last one's other tokens have no
      gradient.

    Args:
        network: In eval mode.
        images: float [B, 3, S, S]; two of them are run.
        head: The classifier layer; what runs from it on is not looked at.
        attentions: The self-attention modules, in order.

    Raises:
        ConfigError: No module gives one grid or sequence an image.
    """
    calls = _watch(network, images[:1].expand(2, -1, -1, -1), head=head)
    spatial = [call for call in calls if _is_grid(call.gave) or _is_tokens(call.gave)]
    if not spatial:
        raise ConfigError(_unknown(network, "no module that gives a grid or tokens"))
    last = spatial[-1]
    if _is_grid(last.gave):
        return (_layer(_before_coarse(calls) or last),)
    givers = _before_attention(calls, attentions, network) or [last]
    tokens = givers[-1].gave.shape[1]
    height, width = _grid_of(tokens, [call.gave for call in calls if _is_grid(call.gave)])
    if not height:
        raise ConfigError(_unknown(network, f"{tokens} tokens an image, which fill no grid"))
    prefix = tokens - height * width
    return tuple(
        Layer(module=giver.module, arrangement="tokens", height=height, width=width, prefix=prefix) for giver in givers
    )


def find_stages(network: nn.Module, images: Tensor, *, head: nn.Module) -> tuple[Layer, ...]:
    """Of each size of grid that `network` works on, from fine to coarse, the module whose output is made coarser.

    The last is what runs last before the head. Where that gives no grid, as in an MLP or where patches have become
    tokens, there are no stages. An image with other channels is none.

    Args:
        network: In eval mode.
        images: float [B, 3, S, S]; two of them are run.
        head: The classifier layer; what runs from it on is not looked at.
    """
    calls = _watch(network, images[:1].expand(2, -1, -1, -1), head=head)
    calls = [call for call in calls if not _is_image(call.gave, images)]
    spatial = [call for call in calls if _is_grid(call.gave) or _is_tokens(call.gave)]
    if not spatial or not _is_grid(spatial[-1].gave):
        return ()
    stages = {_fineness(spatial[-1].gave): spatial[-1]}
    for fineness in {_fineness(call.gave) for call in spatial}:
        if handed_on := _handed_on(calls, fineness):
            stages[fineness] = handed_on
    return tuple(_layer(stages[fineness]) for fineness in sorted(stages, reverse=True))


def patches_reach_head(network: nn.Module, images: Tensor, *, head: nn.Module, prefix: int) -> bool:
    """Whether, of the last tokens before the head, logits depend on more than the first `prefix`, the class token's.

    Args:
        network: In eval mode, recording gradients of no weight.
        images: float [B, 3, S, S]; one of them is run.
        head: The classifier layer.
        prefix: Tokens before the grid's.
    """
    last = [call for call in _watch(network, images[:1], head=head) if _is_tokens(call.gave)][-1]
    kept: list[Tensor] = []

    def keep(_: nn.Module, __: Any, output: Tensor) -> Tensor:
        kept.append(output.requires_grad_())
        return output.clone()

    with last.module.register_forward_hook(keep):
        logits = network(images[:1])
    (gradient,) = torch.autograd.grad(logits[:, 0].sum(), kept[-1])
    return bool(gradient[:, prefix:].any())


def tensor_of(output: Any) -> Any:
    """What a module gives; the first where it gives several, as torch's attention its weights, PiT its class token."""
    return output[0] if isinstance(output, tuple) else output


def _layer(call: _Call) -> Layer:
    """The module of a call that gave a grid."""
    height, width = _sides(call.gave)
    arrangement: Arrangement = "channels first" if call.gave.shape[2:] == (height, width) else "channels last"
    return Layer(module=call.module, arrangement=arrangement, height=height, width=width)


def _before_attention(calls: Sequence[_Call], attentions: Sequence[nn.Module], network: nn.Module) -> list[_Call]:
    """What gave the tokens that the last third of the attentions read, of those that read as many as the last."""
    reads = [call.read for call in calls if call.module in attentions and _is_tokens(call.read)]
    reads = [read for read in reads if read.shape == reads[-1].shape]
    givers = [_giver(calls, read) for read in reads[-math.ceil(len(reads) / 3) :]]
    found = [giver for giver in givers if giver is not None]
    if len(found) < len(givers):
        raise ConfigError(_unknown(network, "an attention that reads no module's output"))
    return found


def _before_coarse(calls: Sequence[_Call]) -> _Call | None:
    """The call that gave the last fine grid, if a coarse one follows: what the outermost module between them reads.

    Inside that module the grid may lie on one of several branches.
    """
    between = [
        call for call in calls if 0 < _fineness(call.gave) < FINEST <= _fineness(call.read) and _giver(calls, call.read)
    ]
    if not between:
        return None
    least = min(_fineness(call.read) for call in between)
    return _giver(calls, [call.read for call in between if _fineness(call.read) == least][-1])


def _handed_on(calls: Sequence[_Call], fineness: int) -> _Call | None:
    """The call that gave the last grid of `fineness`, if a coarser one follows: what the next stage reads.

    A container may take several steps at once: the smallest counts. Of modules within modules the outermost ends last.
    """
    steps = [
        (_fineness(call.gave), giver)
        for call in calls
        if 0 < _fineness(call.gave) < _fineness(call.read) == fineness and (giver := _giver(calls, call.read))
    ]
    return max(reversed(steps), key=lambda step: step[0])[1] if steps else None


def _giver(calls: Sequence[_Call], tensor: object) -> _Call | None:
    """The outermost module that gave `tensor`."""
    return next((call for call in reversed(calls) if call.gave is tensor), None)


@torch.no_grad()
def _watch(network: nn.Module, images: Tensor, *, head: nn.Module) -> list[_Call]:
    """What the modules did before the head ran, in the order they finished."""
    calls: list[_Call] = []
    ended = False

    def end(*_: Any) -> None:
        nonlocal ended
        ended = True

    def note(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        given = tensor_of(output)
        if not ended and isinstance(given, Tensor) and len(given) == len(images):
            calls.append(_Call(module=module, read=inputs[0] if inputs else None, gave=given))

    hooks = [head.register_forward_pre_hook(end)]
    hooks += [module.register_forward_hook(note) for module in network.modules()]
    try:
        network(images)
    finally:
        for hook in hooks:
            hook.remove()
    return calls


def _is_grid(output: object) -> TypeGuard[Tensor]:
    if not isinstance(output, Tensor) or output.ndim != 4:
        return False
    _, first, middle, last = output.shape
    return (middle == last and middle > 1) or (first == middle and first > 1)


def _is_image(output: Tensor, images: Tensor) -> bool:
    return output.ndim == 4 and output.shape[1] <= images.shape[1] and output.shape[2:] == images.shape[2:]


def _is_tokens(output: object) -> TypeGuard[Tensor]:
    return isinstance(output, Tensor) and output.ndim == 3 and output.shape[1] > 1


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


def _fineness(output: object) -> int:
    """Cells of a grid's shorter side; 0 for all else."""
    return min(_sides(output)) if _is_grid(output) else 0


def _unknown(network: nn.Module, got: str) -> str:
    return fault(
        f"{type(network).__name__} cannot be explained",
        got=got,
        expected="a grid of features, or tokens of patches, before the head",
        remedy="choose a CNN, ViT or Swin, or larger images",
    )
