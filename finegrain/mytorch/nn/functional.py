"""Layers and losses as functions of tensors, with torch's arguments."""

from typing import Any

import numpy as np

from finegrain.errors import fault
from finegrain.mytorch.array import shape_error
from finegrain.mytorch.operators import normalization, window
from finegrain.mytorch.random import generator
from finegrain.mytorch.tensor import Tensor, apply

Size = int | tuple[int, int]


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """[..., I] times the transpose of weight [O, I], plus bias [O]."""
    if not input.ndim or weight.ndim != 2 or input.shape[-1] != weight.shape[1]:
        expected = "inputs [..., I] and weights [O, I]"
        remedy = "check in_features, or flatten"
        raise shape_error("linear", input.shape, weight.shape, expected=expected, remedy=remedy)
    product = input @ weight.T
    return product if bias is None else product + bias


def conv2d(input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Size = 1, padding: Size = 0) -> Tensor:
    """Cross-correlation of images [B, C, H, W] with kernels [O, C, KH, KW], plus bias [O]."""
    inputs = (input, weight) if bias is None else (input, weight, bias)
    return apply(window.conv2d, *inputs, **_steps(stride, padding))


def max_pool2d(input: Tensor, kernel_size: Size, stride: Size | None = None, padding: Size = 0) -> Tensor:
    """The largest in each window."""
    size = pair("kernel_size", kernel_size)
    return apply(window.max_pool2d, input, size=size, **_steps(size if stride is None else stride, padding))


def avg_pool2d(input: Tensor, kernel_size: Size, stride: Size | None = None, padding: Size = 0) -> Tensor:
    """The mean of each window."""
    size = pair("kernel_size", kernel_size)
    return apply(window.avg_pool2d, input, size=size, **_steps(size if stride is None else stride, padding))


def relu(input: Tensor) -> Tensor:
    """max(x, 0)."""
    return input.relu()


def sigmoid(input: Tensor) -> Tensor:
    """1 / (1 + e^−x)."""
    return input.sigmoid()


def tanh(input: Tensor) -> Tensor:
    """Hyperbolic tangent."""
    return input.tanh()


def softmax(input: Tensor, dim: int) -> Tensor:
    """Probabilities along one axis."""
    return input.softmax(dim)


def log_softmax(input: Tensor, dim: int) -> Tensor:
    """Their logarithms."""
    return input.log_softmax(dim)


def dropout(input: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """In training zero each number with probability `p`, and divide the others by 1 − p."""
    if not 0 <= p <= 1:
        raise ValueError(fault("no probability", got=p, expected="0 to 1", remedy="check p"))
    if not training or p == 0:
        return input
    kept = generator().random(input.shape, dtype=np.float32) >= p
    return input * Tensor(kept.astype(input.dtype) / (1 - p if p < 1 else 1))


def batch_norm(
    input: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
    weight: Tensor,
    bias: Tensor,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Normalise each channel of [B, C, ...]: in training by the batch, whose statistics also enter the running ones.

    The batch is normalised by the population's variance; the running one takes the sample's, as torch does.
    """
    for tensor in (weight, bias, running_mean, running_var):
        if input.ndim < 2 or tensor.shape != input.shape[1:2]:
            expected = "inputs [B, C, ...]; weights, biases, means and variances [C]"
            raise shape_error("batch_norm", input.shape, tensor.shape, expected=expected, remedy="check num_features")
    mean, var = running_mean.array, running_var.array
    if training:
        axes, count = (0, *range(2, input.ndim)), input.numel() // input.shape[1]
        if count < 2:
            expected, remedy = "two numbers or more of each channel", "call eval(), or take a larger batch"
            raise shape_error("batch_norm in training", input.shape, weight.shape, expected=expected, remedy=remedy)
        mean, var = input.array.mean(axis=axes), input.array.var(axis=axes)
        running_mean.array += momentum * (mean - running_mean.array)
        running_var.array += momentum * (var * (count / (count - 1)) - running_var.array)
    options: dict[str, Any] = {"mean": mean, "var": var, "eps": eps, "batch": training}
    return apply(normalization.batch_norm, input, weight, bias, **options)


def mse_loss(input: Tensor, target: Tensor) -> Tensor:
    """Mean of (input − target)²; of equal shapes, as broadcasting would compare what does not belong together."""
    if input.shape != target.shape:
        remedy = "view or one-hot the target"
        raise shape_error("mse_loss", input.shape, target.shape, expected="equal shapes", remedy=remedy)
    return ((input - target) ** 2).mean()


def cross_entropy(input: Tensor, target: Tensor) -> Tensor:
    """Mean over the batch, of logits `input` [B, K] and classes [B] or probabilities [B, K]."""
    if target.requires_grad:
        what, remedy = "no gradient for probabilities", "detach() them"
        raise TypeError(fault(what, got="a target that asks for one", expected="a constant", remedy=remedy))
    return apply(normalization.cross_entropy, input, target=target.array)


def _steps(stride: Size, padding: Size) -> dict[str, tuple[int, int]]:
    return {"stride": pair("stride", stride), "padding": pair("padding", padding)}


def pair(name: str, size: Size) -> tuple[int, int]:
    """Down and right."""
    sides = size if isinstance(size, tuple | list) else (size, size)
    least = 0 if name == "padding" else 1
    if len(sides) != 2 or not all(isinstance(side, int | np.integer) and side >= least for side in sides):
        expected, remedy = f"{least} or more, or two such numbers", "check the arguments"
        raise ValueError(fault(f"no such {name}", got=size, expected=expected, remedy=remedy))
    return int(sides[0]), int(sides[1])
