"""What looks at images through a window that moves: convolution and pooling."""

from collections.abc import Iterator
from functools import reduce

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from finegrain.mytorch.array import Array, Recorded, batch_last, check_floats, shape_error

Pair = tuple[int, int]


def conv2d(x: Array, weight: Array, bias: Array | None = None, *, stride: Pair, padding: Pair) -> Recorded:
    """Cross-correlation, as one matrix product of the kernels with all windows side by side.

    The windows are a strided view, copied once into [C·KH·KW, H'·W'·B]: with the batch last in memory, a row of a
    window's places is one piece. The gradient of the images is the transposed product, its KH·KW parts added where
    they came from.

    Args:
        x: Images [B, C, H, W].
        weight: Kernels [O, C, KH, KW].
        bias: [O].
        stride: Steps down and right.
        padding: Rows and columns of zeros on each side.

    Returns:
        [B, O, H', W'], kept in memory as [O, H', W', B], which all operators then keep to.
    """
    check_floats("conv2d", x, weight)
    if x.ndim != 4 or weight.ndim != 4 or x.shape[1] != weight.shape[1] or not weight.size:
        expected = "images [B, C, H, W] and kernels [O, C, KH, KW] of as many channels C"
        raise shape_error("conv2d", x.shape, weight.shape, expected=expected, remedy="check the channels")
    if bias is not None and bias.shape != weight.shape[:1]:
        expected = "kernels [O, C, KH, KW] and a bias [O]"
        raise shape_error("conv2d", weight.shape, bias.shape, expected=expected, remedy="check the bias")
    padded, size = batch_last(x, padding), (weight.shape[2], weight.shape[3])
    high, wide = _steps("conv2d", padded, size, stride)
    windows = sliding_window_view(padded, size, axis=(2, 3))[:, :, :: stride[0], :: stride[1]]
    columns = windows.transpose(1, 4, 5, 2, 3, 0).reshape(weight[0].size, -1)
    matrix = weight.reshape(len(weight), -1)
    product = matrix @ columns
    if bias is not None:
        product += bias[:, None]

    def flat(g: Array) -> Array:
        return g.transpose(1, 2, 3, 0).reshape(len(weight), -1)

    def to_images(g: Array) -> Array:
        parts = (matrix.T @ flat(g)).reshape(x.shape[1], size[0] * size[1], high, wide, len(x))
        gradient = np.zeros_like(padded, dtype=g.dtype)
        for number, place in enumerate(_places(gradient, size, stride)):
            place += parts[:, number].transpose(3, 0, 1, 2)
        return _crop(gradient, padding)

    def to_kernels(g: Array) -> Array:
        gradient: Array = flat(g) @ columns.T
        return gradient.reshape(weight.shape)

    result = product.reshape(len(weight), high, wide, len(x)).transpose(3, 0, 1, 2)
    pulls = (to_images, to_kernels, lambda g: g.sum(axis=(0, 2, 3)))
    return result, pulls[: 2 if bias is None else 3]


def max_pool2d(x: Array, *, size: Pair, stride: Pair, padding: Pair) -> Recorded:
    """The largest in each window; the first of equals gets the gradient."""
    padded = _padded("max_pool2d", x, size, stride, padding, -np.inf)
    result = reduce(np.maximum, _places(padded, size, stride))

    def pull(g: Array) -> Array:
        gradient, free = np.zeros_like(padded), np.ones(result.shape, dtype=bool)
        for pixels, place in zip(_places(padded, size, stride), _places(gradient, size, stride), strict=True):
            chosen = free & (pixels == result)
            free ^= chosen
            place += chosen * g
        return _crop(gradient, padding)

    return result, (pull,)


def avg_pool2d(x: Array, *, size: Pair, stride: Pair, padding: Pair) -> Recorded:
    """The mean of each window, the zeros around the image included."""
    padded, count = _padded("avg_pool2d", x, size, stride, padding, 0.0), size[0] * size[1]
    result = reduce(np.add, _places(padded, size, stride)) / count

    def pull(g: Array) -> Array:
        gradient, share = np.zeros_like(padded), g / count
        for place in _places(gradient, size, stride):
            place += share
        return _crop(gradient, padding)

    return result, (pull,)


def _padded(name: str, x: Array, size: Pair, stride: Pair, padding: Pair, value: float) -> Array:
    """Images with what surrounds them, after a look at the shapes."""
    check_floats(name, x)
    if x.ndim != 4 or any(2 * around > side for around, side in zip(padding, size, strict=True)):
        expected = "images [B, C, H, W] and padding of at most half the window"
        raise shape_error(name, x.shape, size, expected=expected, remedy="view the images, or pad less")
    padded = batch_last(x, padding, value)
    _steps(name, padded, size, stride)
    return padded


def _steps(name: str, padded: Array, size: Pair, stride: Pair) -> Pair:
    """How many windows there are down and right."""
    if padded.shape[2] < size[0] or padded.shape[3] < size[1]:
        expected = f"images, padding included, of at least {size[0]} × {size[1]} pixels"
        remedy = "larger images, a smaller window or more padding"
        raise shape_error(name, padded.shape, size, expected=expected, remedy=remedy)
    return (padded.shape[2] - size[0]) // stride[0] + 1, (padded.shape[3] - size[1]) // stride[1] + 1


def _places(x: Array, size: Pair, stride: Pair) -> Iterator[Array]:
    """For each place in the window, row by row, the pixels [..., H', W'] that come to stand there: views."""
    high, wide = ((side - part) // step + 1 for side, part, step in zip(x.shape[2:], size, stride, strict=True))
    for row, column in np.ndindex(size):
        yield x[:, :, row : row + stride[0] * high : stride[0], column : column + stride[1] * wide : stride[1]]


def _crop(x: Array, padding: Pair) -> Array:
    high, wide = padding
    return x[:, :, high : x.shape[2] - high, wide : x.shape[3] - wide]
