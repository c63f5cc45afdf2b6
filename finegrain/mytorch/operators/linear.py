"""The matrix product."""

import numpy as np

from finegrain.mytorch.array import Array, Recorded, shape_error


def matmul(a: Array, b: Array) -> Recorded:
    """Products of the last two axes, the others broadcast; a vector is a row on the left and a column on the right.

    Args:
        a: [..., M, K] or [K].
        b: [..., K, N] or [K].
    """
    _check(a, b)
    rows = a[None, :] if a.ndim == 1 else a
    columns = b[:, None] if b.ndim == 1 else b

    def lifted(g: Array) -> Array:
        """[..., M, N], with the axes that vectors took away."""
        g = g[..., None] if b.ndim == 1 else g
        return np.expand_dims(g, -2) if a.ndim == 1 else g

    def to_right(g: Array) -> Array:
        gradient: Array = np.matmul(np.swapaxes(rows, -1, -2), lifted(g))
        return gradient[..., 0] if b.ndim == 1 else gradient

    return np.matmul(a, b), (lambda g: np.matmul(lifted(g), np.swapaxes(columns, -1, -2)), to_right)


def _check(a: Array, b: Array) -> None:
    fits = a.ndim > 0 and b.ndim > 0 and a.shape[-1] == b.shape[-2 if b.ndim > 1 else 0]
    if fits:
        try:
            np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        except ValueError:
            fits = False
    if not fits:
        expected = "[..., M, K] and [..., K, N], the other axes equal or 1"
        raise shape_error("matmul", a.shape, b.shape, expected=expected, remedy="transpose or view one of them")
