"""Layers and losses as functions of tensors, with torch's arguments."""

from typing import Any

import numpy as np

from finegrain.errors import fault
from finegrain.mytorch.array import shape_error
from finegrain.mytorch.operators import normalization, window
from finegrain.mytorch.random import generator
from finegrain.mytorch.tensor import Tensor, apply

Size = int | tuple[int, int]


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x [..., I] times the transpose of weight [O, I], plus bias [O]."""
    if not x.ndim or weight.ndim != 2 or x.shape[-1] != weight.shape[1]:
        expected = "inputs [..., I] and weights [O, I]"
        raise shape_error("linear", x.shape, weight.shape, expected=expected, remedy="check in_features, or flatten")
    product = x @ weight.T
    return product if bias is None else product + bias


def conv2d(x: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Size = 1, padding: Size = 0) -> Tensor:
    """Cross-correlation of images [B, C, H, W] with kernels [O, C, KH, KW], plus bias [O]."""
    inputs = (x, weight) if bias is None else (x, weight, bias)
    return apply(window.conv2d, *inputs, **_steps(stride, padding))


def max_pool2d(x: Tensor, kernel_size: Size, stride: Size | None = None, padding: Size = 0) -> Tensor:
    """The largest in each window."""
    size = _pair("kernel_size", kernel_size)
    return apply(window.max_pool2d, x, size=size, **_steps(size if stride is None else stride, padding))


def avg_pool2d(x: Tensor, kernel_size: Size, stride: Size | None = None, padding: Size = 0) -> Tensor:
    """The mean of each window."""
    size = _pair("kernel_size", kernel_size)
    return apply(window.avg_pool2d, x, size=size, **_steps(size if stride is None else stride, padding))


def relu(x: Tensor) -> Tensor:
    """max(x, 0)."""
    return x.relu()


def sigmoid(x: Tensor) -> Tensor:
    """1 / (1 + e^−x)."""
    return x.sigmoid()


def tanh(x: Tensor) -> Tensor:
    """Hyperbolic tangent."""
    return x.tanh()


def softmax(x: Tensor, dim: int) -> Tensor:
    """Probabilities along one axis."""
    return x.softmax(dim)


def log_softmax(x: Tensor, dim: int) -> Tensor:
    """Their logarithms."""
    return x.log_softmax(dim)


def dropout(x: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """In training zero each number with probability `p`, and divide the others by 1 − p."""
    if not 0 <= p <= 1:
        raise ValueError(fault("no probability", got=p, expected="0 to 1", remedy="check p"))
    if not training or p == 0:
        return x
    kept = generator().random(x.shape, dtype=np.float32) >= p
    return x * Tensor(kept.astype(x.dtype) / (1 - p if p < 1 else 1))


def batch_norm(
    x: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
    weight: Tensor,
    bias: Tensor,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Normalise each channel of x [B, C, ...]: in training by the batch, whose statistics also enter the running ones.

    The batch is normalised by the population's variance; the running one takes the sample's, as torch does.
    """
    if x.ndim < 2 or x.shape[1] != weight.shape[0]:
        expected = "inputs [B, C, ...] and weights [C]"
        raise shape_error("batch_norm", x.shape, weight.shape, expected=expected, remedy="check num_features")
    mean, var = running_mean.array, running_var.array
    if training:
        axes, count = (0, *range(2, x.ndim)), x.numel() // x.shape[1]
        if count < 2:
            expected, remedy = "two numbers or more of each channel", "call eval(), or take a larger batch"
            raise shape_error("batch_norm in training", x.shape, weight.shape, expected=expected, remedy=remedy)
        mean, var = x.array.mean(axis=axes), x.array.var(axis=axes)
        running_mean.array += momentum * (mean - running_mean.array)
        running_var.array += momentum * (var * (count / (count - 1)) - running_var.array)
    options: dict[str, Any] = {"mean": mean, "var": var, "eps": eps, "batch": training}
    return apply(normalization.batch_norm, x, weight, bias, **options)


def mse_loss(x: Tensor, target: Tensor) -> Tensor:
    """Mean of (x − target)²; the shapes must be equal, as broadcasting would compare what does not belong together."""
    if x.shape != target.shape:
        remedy = "view or one-hot the target"
        raise shape_error("mse_loss", x.shape, target.shape, expected="equal shapes", remedy=remedy)
    return ((x - target) ** 2).mean()


def cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Mean over the batch, of logits [B, K] and classes [B] or probabilities [B, K]."""
    if target.requires_grad:
        what, remedy = "no gradient for probabilities", "detach() them"
        raise TypeError(fault(what, got="a target that asks for one", expected="a constant", remedy=remedy))
    return apply(normalization.cross_entropy, logits, target=target.array)


def _steps(stride: Size, padding: Size) -> dict[str, tuple[int, int]]:
    return {"stride": _pair("stride", stride), "padding": _pair("padding", padding)}


def _pair(name: str, size: Size) -> tuple[int, int]:
    """Down and right."""
    high, wide = size if isinstance(size, tuple) else (size, size)
    least = 0 if name == "padding" else 1
    if min(high, wide) < least:
        raise ValueError(fault(f"no such {name}", got=size, expected=f"{least} or more", remedy="check the arguments"))
    return high, wide
