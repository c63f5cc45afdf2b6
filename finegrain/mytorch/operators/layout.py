"""Other shapes of the same numbers, and parts of them."""

from typing import Any

import numpy as np

from finegrain.mytorch.array import Array, Recorded, positive_axes, shape_error


def view(x: Array, *, shape: tuple[int, ...]) -> Recorded:
    """The numbers in another shape, of which one size may be −1; a copy where the order in memory asks for it."""
    try:
        result = x.reshape(shape)
    except ValueError:
        expected = f"sizes with a product of {x.size}"
        raise shape_error("view", x.shape, shape, expected=expected, remedy="or let one size be -1") from None
    return result, (lambda g: g.reshape(x.shape),)


def permute(x: Array, *, dims: tuple[int, ...]) -> Recorded:
    """The axes in another order."""
    axes = positive_axes(dims, x.shape)
    if sorted(axes) != list(range(x.ndim)):
        expected = "each axis once"
        raise shape_error("permute", x.shape, dims, expected=expected, remedy="name all axes of the first")
    return x.transpose(axes), (lambda g: g.transpose(np.argsort(axes)),)


def index(x: Array, *, key: Any) -> Recorded:
    """`x[key]`, with integers, slices, integer arrays or masks; what is taken twice gets both gradients."""
    parts = key if isinstance(key, tuple) else (key,)
    basic = all(part is None or part is Ellipsis or isinstance(part, int | slice) for part in parts)

    def pull(g: Array) -> Array:
        gradient = np.zeros_like(x, dtype=g.dtype)
        if basic and not any(isinstance(part, bool) for part in parts):
            gradient[key] = g
        else:
            np.add.at(gradient, key, g)  # `gradient[key] += g` would keep one of several
        return gradient

    return x[key], (pull,)
