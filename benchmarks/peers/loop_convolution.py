"""Convolution as one writes it first: a loop over the pixels of the result, with a product for each."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


class LoopConvolution:
    """Stride 1; all kernels see a window at once.

    Args:
        x: Images [B, C, H, W].
        weight: Kernels [O, C, K, K].
        bias: [O].
        padding: Rows and columns of zeros on each side.
        together: Images whose windows are in one product: 1 is the plain loop, B leaves only the loop over pixels.
    """

    def __init__(self, x: Array, weight: Array, bias: Array, *, padding: int, together: int = 1) -> None:
        self._padding, self._together, self._shape = padding, together, weight.shape
        self._x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
        self._matrix, self._bias = weight.reshape(len(weight), -1), bias

    def forward(self) -> Array:
        """The result [B, O, H', W']."""
        kernel = self._shape[2]
        sides = (side - kernel + 1 for side in self._x.shape[2:])
        result = np.empty((len(self._x), len(self._matrix), *sides), dtype=self._x.dtype)
        for images, row, column in self._places(result):
            result[images, :, row, column] = self._window(images, row, column) @ self._matrix.T + self._bias
        return result

    def backward(self, gradient: Array) -> tuple[Array, Array, Array]:
        """Of x, weight and bias, from that of the result."""
        kernel, padding = self._shape[2], self._padding
        to_x, to_matrix, to_bias = np.zeros_like(self._x), np.zeros_like(self._matrix), np.zeros_like(self._bias)
        for images, row, column in self._places(gradient):
            part = gradient[images, :, row, column]
            to_bias += part.sum(axis=0)
            to_matrix += part.T @ self._window(images, row, column)
            place = to_x[images, :, row : row + kernel, column : column + kernel]
            place += (part @ self._matrix).reshape(place.shape)
        high, wide = to_x.shape[2] - padding, to_x.shape[3] - padding
        return to_x[:, :, padding:high, padding:wide], to_matrix.reshape(self._shape), to_bias

    def _places(self, result: Array) -> Iterator[tuple[slice, int, int]]:
        for start in range(0, len(result), self._together):
            for row in range(result.shape[2]):
                for column in range(result.shape[3]):
                    yield slice(start, start + self._together), row, column

    def _window(self, images: slice, row: int, column: int) -> Array:
        kernel = self._shape[2]
        window = self._x[images, :, row : row + kernel, column : column + kernel]
        return window.reshape(len(window), -1)
