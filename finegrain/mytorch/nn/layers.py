"""Layers, with torch's arguments, names of parameters and initial distributions."""

import numpy as np

import finegrain.mytorch.nn.functional as F
from finegrain.mytorch.array import shape_error
from finegrain.mytorch.creation import ones, zeros
from finegrain.mytorch.nn.functional import Size
from finegrain.mytorch.nn.module import Module, Parameter
from finegrain.mytorch.random import generator
from finegrain.mytorch.tensor import Tensor, get_default_dtype


def _initial(*shape: int, fan_in: int) -> Parameter:
    """Uniform in ±1/√fan_in: what torch's kaiming_uniform_(a=√5) comes to, for weights and biases alike."""
    bound = 1 / np.sqrt(fan_in)
    return Parameter(generator().uniform(-bound, bound, shape).astype(get_default_dtype()))


class Linear(Module):
    """[..., I] → [..., O]."""

    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        self.weight = _initial(out_features, in_features, fan_in=in_features)
        self.bias = _initial(out_features, fan_in=in_features) if bias else None

    def forward(self, input: Tensor) -> Tensor:
        """See `functional.linear`."""
        return F.linear(input, self.weight, self.bias)


class Conv2d(Module):
    """[B, C, H, W] → [B, O, H', W']."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size = 0,
        *,
        bias: bool = True,
    ) -> None:
        high, wide = F.pair("kernel_size", kernel_size)
        fan_in = in_channels * high * wide
        self.weight = _initial(out_channels, in_channels, high, wide, fan_in=fan_in)
        self.bias = _initial(out_channels, fan_in=fan_in) if bias else None
        self.stride, self.padding = stride, padding

    def forward(self, input: Tensor) -> Tensor:
        """See `functional.conv2d`."""
        return F.conv2d(input, self.weight, self.bias, self.stride, self.padding)


class _Pool2d(Module):
    def __init__(self, kernel_size: Size, stride: Size | None = None, padding: Size = 0) -> None:
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding


class AvgPool2d(_Pool2d):
    """The mean of each window."""

    def forward(self, input: Tensor) -> Tensor:
        """See `functional.avg_pool2d`."""
        return F.avg_pool2d(input, self.kernel_size, self.stride, self.padding)


class MaxPool2d(_Pool2d):
    """The largest in each window."""

    def forward(self, input: Tensor) -> Tensor:
        """See `functional.max_pool2d`."""
        return F.max_pool2d(input, self.kernel_size, self.stride, self.padding)


class BatchNorm2d(Module):
    """Each channel of [B, C, H, W] normalised; the running statistics are buffers, which nothing trains."""

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        self.weight, self.bias = Parameter(ones(num_features)), Parameter(zeros(num_features))
        self.register_buffer("running_mean", zeros(num_features))
        self.register_buffer("running_var", ones(num_features))
        self.register_buffer("num_batches_tracked", Tensor(np.zeros((), dtype=np.int64)))
        self.eps, self.momentum = eps, momentum

    def forward(self, input: Tensor) -> Tensor:
        """See `functional.batch_norm`."""
        if input.ndim != 4:
            expected, remedy = "images [B, C, H, W] and weights [C]", "view the images"
            raise shape_error("BatchNorm2d", input.shape, self.weight.shape, expected=expected, remedy=remedy)
        if self.training:
            self.num_batches_tracked.array += 1
        mean, var = self.running_mean, self.running_var
        return F.batch_norm(input, mean, var, self.weight, self.bias, self.training, self.momentum, self.eps)


class ReLU(Module):
    """max(x, 0)."""

    def forward(self, input: Tensor) -> Tensor:
        """Of any shape."""
        return input.relu()


class Sigmoid(Module):
    """1 / (1 + e^−x)."""

    def forward(self, input: Tensor) -> Tensor:
        """Of any shape."""
        return input.sigmoid()


class Tanh(Module):
    """Hyperbolic tangent."""

    def forward(self, input: Tensor) -> Tensor:
        """Of any shape."""
        return input.tanh()


class Flatten(Module):
    """[B, ...] → [B, D]: one axis in place of those from `start_dim` to `end_dim`."""

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, input: Tensor) -> Tensor:
        """See `Tensor.flatten`."""
        return input.flatten(self.start_dim, self.end_dim)


class Dropout(Module):
    """In training each number is 0 with probability `p`."""

    def __init__(self, p: float = 0.5) -> None:
        self.p = p

    def forward(self, input: Tensor) -> Tensor:
        """See `functional.dropout`."""
        return F.dropout(input, self.p, self.training)


class MSELoss(Module):
    """Mean squared error."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """See `functional.mse_loss`."""
        return F.mse_loss(input, target)


class CrossEntropyLoss(Module):
    """Mean of −log softmax at the right class."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """See `functional.cross_entropy`."""
        return F.cross_entropy(input, target)
