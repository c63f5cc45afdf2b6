"""The power law that accuracy follows while images are added, fitted and carried on beyond what was measured."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import OptimizeWarning, curve_fit

from finegrain.metrics.statistics import ROUNDING, Interval

LEAST_COUNTS = 4
"""Three points fix three numbers: the fit would always be perfect and say nothing."""
STEEPNESS = (0.02, 5.0)
"""Where c is sought; at either end the points do not tell it."""
LEAST_EXPLAINED = 0.8
"""Share of the accuracies' variance that a law must account for."""
DRAWS = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class PowerLaw:
    """Accuracy = a − b·n^(−c)."""

    a: float
    """What it comes near without end, in [0, 1]."""
    b: float
    """Above 0."""
    c: float
    """Within `STEEPNESS`."""

    def at(self, counts: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
        """The accuracy with each number of images."""
        return np.asarray(self.a - self.b * np.asarray(counts, dtype=np.float64) ** -self.c)


@dataclass(frozen=True, kw_only=True, slots=True)
class Fit:
    """A power law, and the ones that other seeds might have given."""

    law: PowerLaw
    others: tuple[PowerLaw, ...] = ()
    """One for each draw of seeds; empty for one seed, which shows nothing of others, or where too few can be fitted."""

    def intervals(self, counts: Sequence[float]) -> list[Interval] | None:
        """95 % for the accuracy with each number of images, over other seeds; None where nothing shows their spread.

        It takes the power law for true: how far it is not, no fit can tell.
        """
        if not self.others:
            return None
        low, high = np.quantile([law.at(counts) for law in self.others], [0.025, 0.975], axis=0)
        return [(float(one), float(other)) for one, other in zip(low, high, strict=True)]


def fit_power_law(counts: Sequence[float], accuracies: NDArray[np.float64]) -> PowerLaw | None:
    """Fit the law by least squares.

    Hestness et al., "Deep learning scaling is predictable, empirically", 2017; Viering & Loog, "The shape of learning
    curves: a review", TPAMI 2022, which also shows curves that follow none.

    Args:
        counts: Numbers of images [C], above 0.
        accuracies: In [0, 1] [C].

    Returns:
        None where the points do not tell it: fewer than `LEAST_COUNTS` different numbers, or no such rise.
    """
    if len(set(counts)) < LEAST_COUNTS:
        return None
    n, y = np.asarray(counts, dtype=np.float64), np.asarray(accuracies, dtype=np.float64)
    unit = n.min()  # b then has the size of an accuracy
    start = (min(y.max(), 1.0), max(np.ptp(y), 1e-3), 1.0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", OptimizeWarning)
            bounds = ([0.0, 0.0, STEEPNESS[0]], [1.0, np.inf, STEEPNESS[1]])
            (a, b, c), _ = curve_fit(lambda n, a, b, c: a - b * n**-c, n / unit, y, p0=start, bounds=bounds)
    except RuntimeError:  # no convergence
        return None
    law = PowerLaw(a=float(a), b=float(b * unit**c), c=float(c))
    explained = np.ptp(y) > ROUNDING and 1 - np.var(y - law.at(n)) / np.var(y) >= LEAST_EXPLAINED
    return law if explained and STEEPNESS[0] * 1.01 < c < STEEPNESS[1] * 0.99 else None


def fit_over_seeds(counts: Sequence[float], accuracies: NDArray[np.float64]) -> Fit | None:
    """Fit the mean over the seeds, and bootstrap over them.

    Each draw takes R − 1 of R seeds with replacement, the same for all counts, so that the variance is not too small
    (Rao & Wu, JASA 1988).

    Args:
        counts: Numbers of images [C], above 0.
        accuracies: Of each seed [R, C].

    Returns:
        None as `fit_power_law`.
    """
    law = fit_power_law(counts, accuracies.mean(axis=0))
    if law is None:
        return None
    seeds = len(accuracies)
    generator = np.random.default_rng(0)
    draws = [generator.integers(seeds, size=seeds - 1) for _ in range(DRAWS)] if seeds > 1 else []
    fitted = [fit_power_law(counts, accuracies[draw].mean(axis=0)) for draw in draws]
    others = tuple(other for other in fitted if other is not None)
    # Where many draws tell no law, those that do are not what other seeds would give.
    return Fit(law=law, others=others if len(others) > 0.9 * DRAWS else ())
