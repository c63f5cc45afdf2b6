"""Draw the kernels of a network's first layer."""

import numpy as np
from numpy.typing import NDArray

from finegrain.report.heat import png, side_by_side

MOST_KERNELS = 64
"""So many are drawn, the first."""
_A_ROW = 16
_SIDE = 56
"""Of one of them in pixels, about: each weight is a square of whole pixels."""


def kernels_png(kernels: NDArray[np.float32]) -> bytes:
    """A PNG of kernels float [F, C, h, w], 16 a row: grey where C = 1, else their red, green and blue.

    Mid-grey is zero; each is scaled so that its largest weight, of either sign, is black or white.
    """
    cells = [_cell(kernel) for kernel in kernels[:MOST_KERNELS]]
    rows = [side_by_side(cells[start : start + _A_ROW]) for start in range(0, len(cells), _A_ROW)]
    return png(_upright(side_by_side([_upright(row) for row in rows])))


def _cell(kernel: NDArray[np.float32]) -> NDArray[np.uint8]:
    """`kernel` [C, h, w] as uint8 RGB."""
    scaled = 127.5 * (1 + kernel / max(float(np.abs(kernel).max()), 1e-12))
    pixels = np.broadcast_to(scaled.round().astype(np.uint8).transpose(1, 2, 0), (*kernel.shape[1:], 3))
    times = max(round(_SIDE / kernel.shape[-1]), 1)
    return pixels.repeat(times, axis=0).repeat(times, axis=1)


def _upright(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Rows for columns."""
    return pixels.transpose(1, 0, 2)
