"""Whether generated images lie where real ones do, and whether they reach all of them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from finegrain.metrics.feature_sets import Features, as_pair, blocks, distances

_ROUNDING = 1e-9
"""Relative: an image as far as the k-th neighbour is outside, whatever the order of the sums."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DensityCoverage:
    """Two numbers, for two faults: images that are not like the real ones, and real ones that are never generated."""

    density: float
    """In how many of the k neighbourhoods expected a generated image lies: 1 on average for like sets; may exceed 1."""
    coverage: float
    """Share of the real images with a generated one in their neighbourhood, in [0, 1]."""
    like_coverage: float
    """What coverage is on average for sets from one distribution: 1 is reached only by very many images."""
    k: int
    n_real: int
    n_fake: int


def density_coverage(real: Features, fake: Features, *, k: int = 5) -> DensityCoverage:
    """Density and coverage (Naeem et al., "Reliable Fidelity and Diversity Metrics for Generative Models", ICML 2020).

    B_i is the ball about real image i that reaches to its k-th nearest other real image, without its surface, as in
    the authors' code. Density = Σ_j Σ_i [y_j in B_i]/(k·M); coverage = Σ_i [some y_j in B_i]/N. For equal distributions
    coverage is 1 − Π_{l=1..k} (N − l)/(N + M − l) on average.

    Args:
        real: Features of the real images [N, D], N > k.
        fake: Of the generated ones by the same extractor [M, D].
        k: Which neighbour bounds the neighbourhood.

    Raises:
        DataError: Too few images, or different numbers of features.
        NumericsError: A feature that is not finite.
        ValueError: `k` below 1.
    """
    if k < 1:
        raise ValueError(f"no neighbour: k = {k}")
    x, y = as_pair(real, fake, least=(k + 1, 1))
    n, m = len(x), len(y)
    inside, reached = 0, 0
    for part in blocks(n, max(n, m)):
        hits = distances(x[part], y) < _radii(x, part, k)[:, None]
        inside += int(hits.sum())
        reached += int(hits.any(axis=1).sum())
    places = np.arange(1, k + 1)
    return DensityCoverage(
        density=inside / (k * m),
        coverage=reached / n,
        like_coverage=float(1 - np.prod((n - places) / (n + m - places))),
        k=k,
        n_real=n,
        n_fake=m,
    )


def _radii(rows: NDArray[np.float64], part: slice, k: int) -> NDArray[np.float64]:
    apart = distances(rows[part], rows)
    own = np.arange(len(apart))
    apart[own, own + part.start] = np.inf
    radii: NDArray[np.float64] = np.partition(apart, k - 1, axis=1)[:, k - 1]
    return radii * (1 - _ROUNDING)
