"""How far apart two sets of images are: the kernel distance (KID), which has no bias however few the images."""

import numpy as np
from numpy.typing import NDArray

from finegrain.metrics.feature_sets import Features, as_pair

BLOCK = 2**22
"""Values of the kernel held at once, 32 MB, whatever the number of images."""


def kernel(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """KID's polynomial kernel (x·y/D + 1)³ of every pair of rows: [N, D] and [M, D] to [N, M]."""
    base = first @ second.T
    base /= first.shape[1]
    base += 1
    return base * base * base


def mmd2(real: Features, fake: Features) -> float:
    """The unbiased squared maximum mean discrepancy with KID's kernel: 0 on average for sets from one distribution.

    Σ_{i≠j} k(x_i, x_j)/(N(N − 1)) + Σ_{i≠j} k(y_i, y_j)/(M(M − 1)) − 2·Σ_{i,j} k(x_i, y_j)/(N·M)
    (Gretton et al., JMLR 2012, eq. 3; Bińkowski et al., "Demystifying MMD GANs", ICLR 2018). It may be negative.

    Args:
        real: Features of the real images [N, D], N ≥ 2.
        fake: Of the generated ones by the same extractor [M, D], M ≥ 2.

    Raises:
        DataError: Too few images, or other features of the one than of the other.
        NumericsError: A feature that is not finite.
    """
    x, y = as_pair(real, fake)
    return _within(x) + _within(y) - 2 * _total(x, y) / (len(x) * len(y))


def _within(rows: NDArray[np.float64]) -> float:
    n = len(rows)
    itself = (np.einsum("nd,nd->n", rows, rows) / rows.shape[1] + 1) ** 3
    return (_total(rows, rows) - float(itself.sum())) / (n * (n - 1))


def _total(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    step = max(1, BLOCK // len(second))
    return sum(float(kernel(first[at : at + step], second).sum()) for at in range(0, len(first), step))
