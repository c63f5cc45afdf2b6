"""Arithmetic and activations, number by number, with broadcasting."""

from typing import Any

import numpy as np

from finegrain.mytorch.array import Array, Recorded, shape_error


def _check(name: str, a: Array, b: Array) -> None:
    try:
        np.broadcast_shapes(a.shape, b.shape)
    except ValueError:
        expected = "sizes that are equal, or 1, from the last axis on"
        raise shape_error(name, a.shape, b.shape, expected=expected, remedy="view or transpose one of them") from None


def add(a: Array, b: Array) -> Recorded:
    """a + b."""
    _check("add", a, b)
    return a + b, (lambda g: g, lambda g: g)


def sub(a: Array, b: Array) -> Recorded:
    """a − b."""
    _check("sub", a, b)
    return a - b, (lambda g: g, np.negative)


def mul(a: Array, b: Array) -> Recorded:
    """a · b."""
    _check("mul", a, b)
    return a * b, (lambda g: g * b, lambda g: g * a)


def div(a: Array, b: Array) -> Recorded:
    """a / b."""
    _check("div", a, b)
    return a / b, (lambda g: g / b, lambda g: -g * (a / b) / b)


def power(a: Array, b: Array) -> Recorded:
    """a to the power b; where b is 0 its base has the gradient 0, and so has b where the result is 0."""
    _check("pow", a, b)
    result = a**b

    def to_base(g: Array) -> Array:
        with np.errstate(all="ignore"):
            return np.where(b == 0, 0, g * b * a ** (b - 1))

    def to_exponent(g: Array) -> Array:
        with np.errstate(all="ignore"):
            return np.where((a == 0) & (b >= 0), 0, g * result * np.log(a))

    return result, (to_base, to_exponent)


def neg(x: Array) -> Recorded:
    """−x."""
    return -x, (np.negative,)


def exp(x: Array) -> Recorded:
    """e to the power x."""
    result = np.exp(x)
    return result, (lambda g: g * result,)


def log(x: Array) -> Recorded:
    """Natural logarithm."""
    return np.log(x), (lambda g: g / x,)


def relu(x: Array) -> Recorded:
    """max(x, 0); the gradient at 0 is 0, that at nan passes, as in torch."""
    return np.maximum(x, 0), (lambda g: g * ~(x <= 0),)


def sigmoid(x: Array) -> Recorded:
    """1 / (1 + e^−x); where the exponential overflows, the result is 0."""
    with np.errstate(over="ignore"):
        result = 1 / (1 + np.exp(-x))
    return result, (lambda g: g * result * (1 - result),)


def tanh(x: Array) -> Recorded:
    """Hyperbolic tangent."""
    result = np.tanh(x)
    return result, (lambda g: g * (1 - result * result),)


def cast(x: Array, *, dtype: np.dtype[Any]) -> Recorded:
    """The same numbers in another precision."""
    return x.astype(dtype), (lambda g: g,)
