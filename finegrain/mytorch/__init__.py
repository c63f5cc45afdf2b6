"""A small NumPy engine for gradients with PyTorch's interface: `from finegrain import mytorch as torch`."""

from finegrain.mytorch import nn as nn
from finegrain.mytorch import optim as optim
from finegrain.mytorch.array import ShapeError
from finegrain.mytorch.creation import from_numpy, ones, tensor, zeros
from finegrain.mytorch.grad_mode import is_grad_enabled, no_grad
from finegrain.mytorch.random import manual_seed
from finegrain.mytorch.saving import load, save
from finegrain.mytorch.tensor import Tensor, float32, float64, get_default_dtype, int64, set_default_dtype

__all__ = [
    "ShapeError",
    "Tensor",
    "float32",
    "float64",
    "from_numpy",
    "get_default_dtype",
    "int64",
    "is_grad_enabled",
    "load",
    "manual_seed",
    "nn",
    "no_grad",
    "ones",
    "optim",
    "save",
    "set_default_dtype",
    "tensor",
    "zeros",
]
