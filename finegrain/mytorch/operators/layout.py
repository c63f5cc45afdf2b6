"""Other shapes of the same numbers, and parts of them."""

from math import prod
from typing import Any

import numpy as np

from finegrain.mytorch.array import Array, Recorded, positive_axes, shape_error


def view(x: Array, *, shape: tuple[int, ...]) -> Recorded:
    """The numbers in another shape, of which one size may be −1; a copy where the order in memory asks for it."""
    try:
        if min(shape, default=0) < -1:  # which NumPy takes for −1
            raise ValueError
        result = x.reshape(shape)
    except ValueError:
        expected = f"sizes with a product of {x.size}"
        raise shape_error("view", x.shape, shape, expected=expected, remedy="or let one size be -1") from None
    return result, (lambda g: g.reshape(x.shape),)


def flatten(x: Array, *, start_dim: int, end_dim: int) -> Recorded:
    """One axis in place of those from `start_dim` to `end_dim`; a single number becomes a row of one."""
    shape = x.shape or (1,)
    start, end = positive_axes((start_dim, end_dim), shape)
    if start > end:
        expected, remedy = "the first axis before the last", "exchange them"
        raise shape_error("flatten", x.shape, (start_dim, end_dim), expected=expected, remedy=remedy)
    return view(x, shape=(*shape[:start], prod(shape[start : end + 1]), *shape[end + 1 :]))


def permute(x: Array, *, dims: tuple[int, ...]) -> Recorded:
    """The axes in another order."""
    axes = positive_axes(dims, x.shape)
    if sorted(axes) != list(range(x.ndim)):
        expected = "each axis once"
        raise shape_error("permute", x.shape, dims, expected=expected, remedy="name all axes of the first")
    return x.transpose(axes), (lambda g: g.transpose(np.argsort(axes)),)


def index(x: Array, *, key: Any) -> Recorded:
    """`x[key]`, with integers, slices, integer arrays or masks; what is taken twice gets both gradients.

    Integers choose before arrays do, as in torch: NumPy would take them for arrays, and put the axis of
    `x[0, :, [1, 2]]` first.
    """
    first, then = _stages(key if isinstance(key, tuple) else (key,))

    def pull(g: Array) -> Array:
        gradient = np.zeros_like(x, dtype=g.dtype)
        if then is None:
            gradient[first] = g
        else:
            np.add.at(gradient[first], then, g)  # `+= g` would keep one of several
        return gradient

    return x[first] if then is None else x[first][then], (pull,)


def _stages(parts: tuple[Any, ...]) -> tuple[tuple[Any, ...], tuple[Any, ...] | None]:
    """What gives a view of an array, and what takes from that view, if anything does."""
    first: list[Any] = []
    then: list[Any] = []
    for part in parts:
        array = np.asarray(part)
        if array.dtype == bool or (array.ndim and array.dtype != object):
            first += [slice(None)] * (array.ndim if array.dtype == bool else 1)
            then.append(array)
        else:
            first.append(int(part) if array.dtype.kind in "iu" else part)
            then += [Ellipsis] if part is Ellipsis else [slice(None)] if part is None or isinstance(part, slice) else []
    if not any(part is Ellipsis for part in parts):
        first.append(Ellipsis)
    return tuple(first), tuple(then) if any(isinstance(part, np.ndarray) for part in then) else None
