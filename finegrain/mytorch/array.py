"""What the operators share: arrays, the two halves of a derivative, and the error that names shapes."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finegrain.errors import FinegrainError, fault

Array = NDArray[Any]
Pullback = Callable[[Array], Array]
"""From the gradient of a result to that of one input, computed only if that input asks for it.

It may keep the axes along which the input was broadcast: `unbroadcast` sums over them afterwards, for all operators.
"""
Recorded = tuple[Array, tuple[Pullback, ...]]
"""What an operator returns: its result, and one pull-back for each of its array arguments."""


class ShapeError(FinegrainError, ValueError):
    """Shapes that do not go together; the message names all of them."""


def shape_error(what: str, *shapes: Sequence[int], expected: str, remedy: str) -> ShapeError:
    """The error of an operation on arrays of these shapes."""
    got = " and ".join(str(list(shape)) for shape in shapes)
    return ShapeError(fault(f"{what} cannot take these shapes", got=got, expected=expected, remedy=remedy))


def check_floats(name: str, *arrays: Array) -> None:
    """Refuse integers where, as in torch, an operation is of floats alone."""
    for array in arrays:
        if array.dtype.kind != "f":
            remedy = "call float()"
            raise TypeError(fault(f"{name} is of floats alone", got=str(array.dtype), expected="floats", remedy=remedy))


def unbroadcast(gradient: Array, shape: tuple[int, ...]) -> Array:
    """Sum `gradient` over the axes along which an array of `shape` was broadcast."""
    if gradient.shape == shape:
        return gradient
    added = gradient.ndim - len(shape)
    stretched = (added + axis for axis, size in enumerate(shape) if size == 1)
    summed: Array = gradient.sum(axis=(*range(added), *stretched), keepdims=True)
    return summed.reshape(shape)


def positive_axes(dim: int | Sequence[int] | None, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The axes of `shape` that `dim` names, counted from the front; all of them for None."""
    ndim = len(shape)
    named = range(ndim) if dim is None else (dim,) if isinstance(dim, int) else tuple(dim)
    for axis in named:
        if not -ndim <= axis < ndim:
            got = f"{axis} of {list(shape)}"
            expected = f"-{ndim} to {ndim - 1}" if ndim else "none, as a single number has no axes"
            raise ShapeError(fault("no such axis", got=got, expected=expected, remedy="check dim"))
    return tuple(axis % ndim for axis in named)


def batch_last(x: Array, padding: tuple[int, int], value: float = 0.0) -> Array:
    """Images [B, C, H, W] with `padding` rows and columns of `value` on every side, in memory as [C, H, W, B]."""
    high, wide = padding
    if not high and not wide:
        return np.ascontiguousarray(x.transpose(1, 2, 3, 0)).transpose(3, 0, 1, 2)
    rows, columns = x.shape[2:]
    padded = np.full((x.shape[1], rows + 2 * high, columns + 2 * wide, len(x)), value, dtype=x.dtype)
    padded[:, high : high + rows, wide : wide + columns] = x.transpose(1, 2, 3, 0)
    return padded.transpose(3, 0, 1, 2)
