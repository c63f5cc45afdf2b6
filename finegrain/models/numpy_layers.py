"""torch's layers, computed by `finegrain.mytorch`: a namespace to build networks from, in place of `torch.nn`.

`mytorch.networks.lenet(numpy_layers)` is a torch module with torch's parameters, names and hooks, so that whatever
trains, stores, judges and explains networks does so with this one; but every forward and backward pass is NumPy's. It
shares its memory with torch on the CPU, and copies from elsewhere. The layers take the arguments that the engine knows.
"""

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import Dropout, Flatten, Sequential

import finegrain.mytorch.nn.functional as F
from finegrain import mytorch
from finegrain.mytorch.nn.functional import Size

__all__ = [
    "AvgPool2d",
    "BatchNorm2d",
    "Conv2d",
    "Dropout",
    "Flatten",
    "Linear",
    "MaxPool2d",
    "ReLU",
    "Sequential",
    "Sigmoid",
    "Tanh",
]


class _Computed(torch.autograd.Function):
    """A function of the engine's tensors as one of torch's."""

    @staticmethod
    def forward(ctx: Any, function: Callable[..., mytorch.Tensor], record: bool, *tensors: Tensor) -> Tensor:
        """The result, with the engine's graph behind it if `record`."""
        inputs = [mytorch.Tensor(_array(tensor), requires_grad=record and tensor.requires_grad) for tensor in tensors]
        with nullcontext() if record else mytorch.no_grad():
            result = function(*inputs)
        ctx.inputs, ctx.result = inputs, result
        return torch.from_numpy(result.array).to(tensors[0])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        """Let the engine go backward through its graph, which torch's keeps and lets go."""
        (gradient,) = gradients
        for tensor in ctx.inputs:
            tensor.grad = None
        ctx.result.backward(mytorch.Tensor(_array(gradient)), retain_graph=True)
        grads = (tensor.grad for tensor in ctx.inputs)
        return None, None, *(None if grad is None else torch.from_numpy(grad.array).to(gradient) for grad in grads)


def _array(tensor: Tensor) -> Any:
    """Its memory where NumPy can have it; zeros where there is none, as shapes alone are asked for then."""
    plain = torch.zeros_like(tensor, device="cpu") if tensor.is_meta else tensor.detach().cpu()
    return (plain if plain.dtype in (torch.float32, torch.float64) else plain.float()).numpy()


def _run(function: Callable[..., mytorch.Tensor], *tensors: Tensor | None) -> Any:
    given = (tensor for tensor in tensors if tensor is not None)
    return _Computed.apply(function, torch.is_grad_enabled(), *given)


class Linear(nn.Linear):
    """[..., I] → [..., O]."""

    def forward(self, input: Tensor) -> Any:
        """See `mytorch.nn.functional.linear`."""
        return _run(F.linear, input, self.weight, self.bias)


class Conv2d(nn.Conv2d):
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
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, bias=bias)
        self._steps: dict[str, Any] = {"stride": stride, "padding": padding}

    def forward(self, input: Tensor) -> Any:
        """See `mytorch.nn.functional.conv2d`."""
        return _run(partial(F.conv2d, **self._steps), input, self.weight, self.bias)


class AvgPool2d(nn.AvgPool2d):
    """The mean of each window."""

    def __init__(self, kernel_size: Size, stride: Size | None = None, padding: Size = 0) -> None:
        super().__init__(kernel_size, stride, padding)

    def forward(self, input: Tensor) -> Any:
        """See `mytorch.nn.functional.avg_pool2d`."""
        window: Any = (self.kernel_size, self.stride, self.padding)
        return _run(lambda x: F.avg_pool2d(x, *window), input)


class MaxPool2d(nn.MaxPool2d):
    """The largest in each window."""

    def __init__(self, kernel_size: Size, stride: Size | None = None, padding: Size = 0) -> None:
        super().__init__(kernel_size, stride, padding)

    def forward(self, input: Tensor) -> Any:
        """See `mytorch.nn.functional.max_pool2d`."""
        window: Any = (self.kernel_size, self.stride, self.padding)
        return _run(lambda x: F.max_pool2d(x, *window), input)


class BatchNorm2d(nn.BatchNorm2d):
    """Each channel normalised, by the batch in training; the running statistics are written to torch's buffers."""

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__(num_features, eps, momentum)

    def forward(self, input: Tensor) -> Any:
        """See `mytorch.nn.functional.batch_norm`."""
        mean, var = (mytorch.Tensor(_array(buffer)) for buffer in (self.running_mean, self.running_var))
        settings: Any = (self.training, self.momentum, self.eps)
        result = _run(lambda x, *ab: F.batch_norm(x, mean, var, *ab, *settings), input, self.weight, self.bias)
        if self.training:
            self.num_batches_tracked.add_(1)
            self.running_mean.copy_(torch.from_numpy(mean.array))
            self.running_var.copy_(torch.from_numpy(var.array))
        return result


class ReLU(nn.ReLU):
    """max(x, 0)."""

    def __init__(self) -> None:
        super().__init__()

    def forward(self, input: Tensor) -> Any:
        """Of any shape."""
        return _run(F.relu, input)


class Sigmoid(nn.Sigmoid):
    """1 / (1 + e^−x)."""

    def forward(self, input: Tensor) -> Any:
        """Of any shape."""
        return _run(F.sigmoid, input)


class Tanh(nn.Tanh):
    """Hyperbolic tangent."""

    def forward(self, input: Tensor) -> Any:
        """Of any shape."""
        return _run(F.tanh, input)
