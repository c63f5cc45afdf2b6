"""Means over pairs of images and their resampling: the U-statistics that kernel distance and diversity are.

An image drawn twice must not meet itself: k(x, x) is no pair of two images, and a bootstrap that counts it is off by
(mean diagonal − mean of the rest)/N for each set, often more than the whole interval. So a draw weights the pairs of
*different* images by the product of their weights (the generalised bootstrap of U-statistics: Hušková & Janssen,
Annals of Statistics 1993), and its draws lie about the value of the sample. Where two sets are alike the statistic is
degenerate, and no bootstrap without a centring of its own is consistent (Arcones & Giné, Annals of Statistics 1992):
this one takes the noise of the images' own means for their spread too, and scatters up to √3 times too widely.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from finegrain.metrics.feature_sets import blocks
from finegrain.metrics.statistics import ROUNDING, Interval, require_confidence

Matrix = NDArray[np.float64]


def within(pairs: Matrix, weights: Matrix) -> Matrix:
    """Weighted means over the pairs of different images.

    Args:
        pairs: What each pair counts [N, N], symmetric, with a diagonal of 0.
        weights: Of the images in each draw, whole numbers [P, N].

    Returns:
        One mean a draw [P]: Σ_{i≠j} w_i·w_j·k_ij / Σ_{i≠j} w_i·w_j.
    """
    mass = weights.sum(axis=1) ** 2 - (weights**2).sum(axis=1)
    # No mass only where one image was drawn every time: no pair, and a sum of 0.
    sums: Matrix = np.einsum("pn,pn->p", weights @ pairs, weights)
    means: Matrix = sums / np.maximum(mass, 1)
    return means


def across(pairs: Matrix, first: Matrix, second: Matrix) -> Matrix:
    """Weighted means [P] over the pairs [N, M] of an image of the one set, weighted by [P, N], and one of the other."""
    sums: Matrix = np.einsum("pm,pm->p", first @ pairs, second)
    means: Matrix = sums / (first.sum(axis=1) * second.sum(axis=1))
    return means


def discrepancy(xx: Matrix, yy: Matrix, xy: Matrix, first: Matrix, second: Matrix) -> Matrix:
    """The pairs' mean within each of two sets less twice that across them, with weights [P, N] and [P, M]: [P]."""
    return within(xx, first) + within(yy, second) - 2 * across(xy, first, second)


def exchanged(pairs: Matrix, n: int, generator: np.random.Generator, count: int) -> Matrix:
    """Discrepancies [count] with n of the images taken for the one set at random and the others for the other.

    One product does: the sums within the others and across follow from the total.
    """
    m, rows = len(pairs) - n, pairs.sum(axis=1)
    chosen = generator.permuted(np.tile(np.repeat([1.0, 0.0], [n, m]), (count, 1)), axis=1)
    inside, outward = np.einsum("pn,pn->p", chosen @ pairs, chosen), chosen @ rows
    rest = rows.sum() - 2 * outward + inside
    values: Matrix = inside / (n * (n - 1)) + rest / (m * (m - 1)) - 2 * (outward - inside) / (n * m)
    return values


def resampled(generator: np.random.Generator, n: int, draws: int) -> Matrix:
    """How often each of n images is in each of some draws [draws, n]: n − 1 with replacement (Rao & Wu, JASA 1988)."""
    return generator.multinomial(n - 1, np.full(n, 1 / n), size=draws).astype(np.float64)


def in_parts(draw: Callable[[int], Matrix], draws: int, columns: int) -> Matrix:
    """What `draw(count)` gives [count], called until there are `draws`, with bounded memory for `columns` weights."""
    return np.concatenate([draw(len(range(draws)[part])) for part in blocks(draws, columns)])


def percentile_interval(values: Matrix, confidence: float) -> Interval | None:
    """The middle part of the draws; None where they cannot differ."""
    require_confidence(confidence)
    low, high = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
    return (float(low), float(high)) if high - low > ROUNDING * (1 + abs(high)) else None
