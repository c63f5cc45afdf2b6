"""Sums, means and maxima, along some axes or all."""

from collections.abc import Sequence

import numpy as np

from finegrain.mytorch.array import Array, Recorded, check_floats, positive_axes

Dim = int | Sequence[int] | None


def reduce_sum(x: Array, *, dim: Dim = None, keepdim: bool = False) -> Recorded:
    """The sum along the axes `dim`."""
    axes = _axes(dim, x)
    return x.sum(axis=axes, keepdims=keepdim), (lambda g: _spread(g, x, axes, keepdim),)


def reduce_mean(x: Array, *, dim: Dim = None, keepdim: bool = False) -> Recorded:
    """The mean along the axes `dim`."""
    check_floats("mean", x)
    axes = _axes(dim, x)
    count = int(np.prod([x.shape[axis] for axis in axes], dtype=int))
    return x.mean(axis=axes, keepdims=keepdim), (lambda g: _spread(g / count, x, axes, keepdim),)


def reduce_max(x: Array) -> Recorded:
    """The largest number of all; equally large ones share the gradient."""
    largest = x.max()
    where = (x == largest) | np.isnan(x)
    return largest, (lambda g: np.where(where, g / where.sum(), 0),)


def max_along(x: Array, *, dim: int, keepdim: bool = False) -> tuple[Recorded, Array]:
    """The largest along one axis, and where it stands: the first of equals, which gets the gradient."""
    (axis,) = positive_axes(dim, x.shape)
    indices = np.expand_dims(x.argmax(axis=axis), axis)
    values = np.take_along_axis(x, indices, axis)

    def pull(g: Array) -> Array:
        gradient = np.zeros_like(x)
        np.put_along_axis(gradient, indices, g if keepdim else np.expand_dims(g, axis), axis)
        return gradient

    if keepdim:
        return (values, (pull,)), indices
    return (values.squeeze(axis), (pull,)), indices.squeeze(axis)


def _axes(dim: Dim, x: Array) -> tuple[int, ...]:
    """Those of `dim`; all of them where it names none, as in torch."""
    return positive_axes(None if dim in ((), []) else dim, x.shape)


def _spread(g: Array, x: Array, axes: tuple[int, ...], keepdim: bool) -> Array:
    """The gradient of a result along the axes that were reduced."""
    return np.broadcast_to(g if keepdim else np.expand_dims(g, axes), x.shape)
