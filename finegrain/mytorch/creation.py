"""Tensors from numbers and arrays, under torch's names."""

from typing import Any

import numpy as np

from finegrain.mytorch.array import Array
from finegrain.mytorch.tensor import Tensor, float64, get_default_dtype, sizes


def tensor(data: Any, *, dtype: np.dtype[Any] | None = None, requires_grad: bool = False) -> Tensor:
    """A copy of an array, of numbers or of nested lists of them; Python's floats are of the default precision."""
    array = np.array(data)
    if dtype is None and array.dtype == float64 and not isinstance(data, np.ndarray | np.generic | Tensor):
        dtype = get_default_dtype()
    return Tensor(array if dtype is None else array.astype(dtype), requires_grad=requires_grad)


def from_numpy(array: Array) -> Tensor:
    """The array itself as a tensor: they share their memory."""
    return Tensor(array)


def zeros(*shape: Any, dtype: np.dtype[Any] | None = None, requires_grad: bool = False) -> Tensor:
    """Zeros of this shape."""
    return Tensor(np.zeros(sizes(shape), dtype=dtype or get_default_dtype()), requires_grad=requires_grad)


def ones(*shape: Any, dtype: np.dtype[Any] | None = None, requires_grad: bool = False) -> Tensor:
    """Ones of this shape."""
    return Tensor(np.ones(sizes(shape), dtype=dtype or get_default_dtype()), requires_grad=requires_grad)
