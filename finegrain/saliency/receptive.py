"""How much of an image a unit of each stage of a network can see, and how much of it the unit attends to."""

from bisect import bisect_left
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from finegrain.models.classifier import Classifier
from finegrain.saliency.layer import Layer, find_stages, tensor_of
from finegrain.saliency.undisturbed import undisturbed

SHARE = 0.95
"""Of the influence of all pixels, what the effective field holds."""
MOST_STAGES = 6
_AT_ONCE = 4
"""Images in one batch: bounds the memory."""

Box = tuple[int, int, int, int]
"""Left, top, width and height in pixels."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ReceptiveField:
    """What the middle unit of a stage's grid sees of images of S pixels a side."""

    stage: str
    """Path of the module within the network."""
    cells: int
    """Of its grid, a side."""
    influence: NDArray[np.float64]
    """Of each pixel on the unit [S, S], at least 0."""
    reach: Box
    """The theoretical field, as far as it lies in the image: outside it no pixel can change the unit."""
    core: Box
    """The effective field: the smallest square that holds 95 % of the influence."""


def receptive_fields(model: Classifier, images: Tensor) -> tuple[ReceptiveField, ...]:
    """The fields of at most 6 stages, from stem to head; none where the head reads no grid (ViT, MLP, LSTM).

    A pixel's influence is |∂ Σ_c s_c y_c / ∂x|, of the middle unit's features y with random signs s, summed over the
    pixel's channels, mean over images (Luo et al., "Understanding the Effective Receptive Field", NeurIPS 2016; their
    plain sum is constant behind a layer norm). The square that holds a share of it: Ding et al., "Scaling Up Your
    Kernels to 31x31", CVPR 2022. The network is afterwards as it was.

    Args:
        model: Any classifier.
        images: Prepared, float [B, 3, S, S], on its device.
    """
    network, names = model.network, {module: name for name, module in model.network.named_modules()}
    # cuDNN's fast algorithms blur where a convolution ends.
    with undisturbed(network), torch.backends.cudnn.flags(enabled=False):
        stages = find_stages(network, images, head=model.get_submodule(model.head_name))
        chosen = np.linspace(0, len(stages) - 1, min(len(stages), MOST_STAGES)).round().astype(int)
        stages = tuple(stages[number] for number in chosen)
        influences = _influences(network, stages, images)
        return tuple(
            ReceptiveField(
                stage=names[stage.module],
                cells=stage.height,
                influence=influence,
                reach=_reach(network, stage, images[0], seen=_bounds(influence > 0)),
                core=smallest_square(influence, SHARE),
            )
            for stage, influence in zip(stages, influences, strict=True)
            if influence.any()
        )


def smallest_square(values: NDArray[np.float64], share: float) -> Box:
    """The smallest square of `values` [S, S] ≥ 0 whose sum is at least `share` of all; of several that of most."""
    sums = np.pad(values, ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)

    def inside(side: int) -> NDArray[np.float64]:
        found: NDArray[np.float64] = (
            sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
        )
        return found

    side = 1 + bisect_left(range(1, len(values)), True, key=lambda side: inside(side).max() >= share * sums[-1, -1])
    top, left = np.unravel_index(inside(side).argmax(), inside(side).shape)
    return int(left), int(top), side, side


def _influences(network: nn.Module, stages: Sequence[Layer], images: Tensor) -> list[NDArray[np.float64]]:
    """Of every pixel on the middle unit of each stage, [S, S]."""
    chance = torch.Generator().manual_seed(0)
    influences = [torch.zeros(images.shape[2:], dtype=torch.float64) for _ in stages]
    for start in range(0, len(images), _AT_ONCE):
        leaf = images[start : start + _AT_ONCE].detach().requires_grad_()
        for influence, unit in zip(influences, _units(network, stages, leaf), strict=True):
            if not unit.requires_grad:  # the stage is cut off, as NTS-Net's proposals are
                continue
            signs = 1 - 2 * torch.randint(2, unit.shape, generator=chance).to(unit)
            (gradient,) = torch.autograd.grad(unit, leaf, signs, retain_graph=True)
            influence += gradient.double().abs().sum((0, 1)).cpu() / len(images)
    return [influence.numpy() for influence in influences]


def _units(network: nn.Module, stages: Sequence[Layer], images: Tensor) -> list[Tensor]:
    """The features of the middle unit of each stage, [B, C]."""
    units: dict[nn.Module, Tensor] = {}

    def note(stage: Layer, output: Any) -> None:
        # A copy, as what runs after may write in place (DenseNet's ReLU).
        units[stage.module] = stage.as_grid(tensor_of(output))[:, :, stage.height // 2, stage.width // 2].clone()

    with ExitStack() as stack:
        for stage in stages:
            hook = partial(note, stage)
            stack.enter_context(stage.module.register_forward_hook(lambda _, __, output, hook=hook: hook(output)))
        network(images)
    return [units[stage.module] for stage in stages]


def _reach(network: nn.Module, stage: Layer, image: Tensor, *, seen: Box) -> Box:
    """The box of the pixels that can change the middle unit of `stage`, whatever the weights and the image [3, S, S].

    What is not a number stays so on its way through convolutions, activations and poolings, even where a weight or a
    gradient is zero. So if it does not reach the unit from outside of `seen`, where gradients came from, that is the
    box; otherwise, as where units are dead, the box is found edge by edge.
    """
    size = image.shape[-1]

    @torch.no_grad()
    def reached(outside: Tensor) -> bool:
        (unit,) = _units(network, (stage,), image.masked_fill(outside.to(image.device), torch.nan)[None])
        return bool(unit.isnan().any())

    def beyond_edge(lines: int, edge: int) -> bool:
        return reached((torch.arange(size) < lines)[:, None].expand(size, size).rot90(edge))

    left, top, width, height = seen
    outside = torch.ones(size, size, dtype=torch.bool)
    outside[top : top + height, left : left + width] = False
    if not reached(outside):
        return seen
    # A turn by 90° takes the first rows to the left, then to the bottom, then to the right.
    top, left, bottom, right = (
        bisect_left(range(1, size), True, key=partial(beyond_edge, edge=edge)) for edge in range(4)
    )
    return left, top, size - left - right, size - top - bottom


def _bounds(mask: NDArray[np.bool_]) -> Box:
    """The box around what is true in `mask` [S, S]."""
    (top, bottom), (left, right) = (np.flatnonzero(mask.any(axis=axis))[[0, -1]] for axis in (1, 0))
    return int(left), int(top), int(right - left) + 1, int(bottom - top) + 1
