"""How sure a score is: its spread over training runs, and its intervals over runs, over images, and over both.

Two uncertainties are never merged silently: another test set of the same size (`bootstrap_interval`) and another
training (`corrected_t_interval`) have functions of their own; `hierarchical_bootstrap`, and `crossed.py` for few runs,
cover both at once. Where the data say nothing of a spread, the answer is None, never an interval of no width.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from finegrain.errors import DataError, NumericsError, fault

Interval = tuple[float, float]
"""Lower and upper end."""

Numbers = NDArray[np.floating[Any]] | NDArray[np.bool_] | NDArray[np.integer[Any]]

ROUNDING = 1e-12
"""Scores that differ by no more are equal: far below one image in a million, far above float64's rounding."""

CHUNK = 2**21
"""Resampled images held at once: some 50 MB, whatever the number of draws."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Spread:
    """Scores of several cells, each a fold, a seed, or a fold of a seed."""

    n: int
    mean: float
    variance: float | None
    """With n − 1 in the denominator; None for one score, which says nothing of it."""
    sd: float | None
    """Its root: how far single runs scatter, not how well their mean is known."""


def spread(scores: Numbers) -> Spread:
    """Mean and scatter of scores of any shape, such as [folds, seeds].

    Raises:
        DataError: No score.
        NumericsError: A score that is not finite.
    """
    values = finite(scores, "scores").ravel()
    if values.size == 1:
        return Spread(n=1, mean=float(values[0]), variance=None, sd=None)
    equal = np.ptp(values) <= ROUNDING * (1 + np.abs(values).max())
    variance = 0.0 if equal else float(values.var(ddof=1))
    return Spread(n=values.size, mean=float(values.mean()), variance=variance, sd=variance**0.5)


def corrected_standard_error(scores: Numbers, *, test_ratio: float) -> float | None:
    """The standard error of the mean of scores whose training sets overlap: √((1/J + n_test/n_train)·s²).

    Nadeau & Bengio, "Inference for the generalization error", Machine Learning 2003. It is a heuristic: the correlation
    of two scores is not measured but taken to be n_test/(n_test + n_train), and no unbiased estimate of it exists
    (Bengio & Grandvalet, JMLR 2004).

    Args:
        scores: J of them, of any shape: k folds × r seeds.
        test_ratio: Images judged over images trained on in one cell, n_test/n_train; 1/(k − 1) where k-fold training
            takes every other image, more where a val split is carved out of them. 0 is the naive standard error: only
            for independent trainings, such as seeds judged on one test split, and then of that test split only.

    Returns:
        In the unit of the scores; None for one score, or where all are equal.

    Raises:
        DataError: No score.
        NumericsError: A score that is not finite.
        ValueError: A negative or infinite `test_ratio`.
    """
    if not 0 <= test_ratio < np.inf:
        raise ValueError(f"no ratio of test to train images: {test_ratio}")
    variance = spread(scores).variance
    return float(np.sqrt((1 / np.size(scores) + test_ratio) * variance)) if variance else None


def corrected_t_interval(scores: Numbers, *, test_ratio: float, confidence: float = 0.95) -> Interval | None:
    """Student's interval of the mean with `corrected_standard_error` and J − 1 degrees of freedom: a heuristic.

    It is the uncertainty of training and of the division into folds. Arguments, Nones and errors are those of
    `corrected_standard_error`; `confidence` is the coverage, in (0, 1). The ends may leave [0, 1].
    """
    require_confidence(confidence)
    error = corrected_standard_error(scores, test_ratio=test_ratio)
    if error is None:
        return None
    mean, half = float(np.mean(scores)), error * float(student.ppf((1 + confidence) / 2, np.size(scores) - 1))
    return mean - half, mean + half


def bootstrap_interval(
    values: Numbers, labels: NDArray[np.int64], *, confidence: float = 0.95, draws: int = 10_000, seed: int = 0
) -> Interval | None:
    """Percentile bootstrap over images, stratified by class: another test set with as many images of each class.

    Efron & Tibshirani, "An Introduction to the Bootstrap", 1993. Each draw takes n − 1 images of a class of n, with
    replacement, and weights the classes by their size, so that the variance has no bias in small classes (Rao & Wu,
    JASA 1988). Classes of one image are drawn together, for alone they would show no variance.

    Args:
        values: What each image counts [N]: hits, or differences of hits, whose mean is the score.
        labels: True class indices [N].
        confidence: Coverage, in (0, 1).
        draws: Number of resampled test sets.
        seed: Equal seeds give equal intervals, in whatever order the images are.

    Returns:
        None where the draws cannot differ: one image, or all images of every class count the same. For hits, Wilson's
        interval still holds then.

    Raises:
        DataError: No images, or not as many labels.
        NumericsError: A value that is not finite.
    """
    matrix = matching(values, labels)[None]
    return _bootstrap(matrix, labels, confidence=confidence, draws=draws, seed=seed)


def hierarchical_bootstrap(
    values: Numbers, labels: NDArray[np.int64], *, confidence: float = 0.95, draws: int = 10_000, seed: int = 0
) -> Interval | None:
    """Percentile bootstrap over training runs and images together: another training, judged on another test set.

    The runs are crossed with the images, not nested in them: each draw takes R − 1 of R runs, and independently of that
    images as `bootstrap_interval` does, the same for all runs (McCullagh, Bernoulli 2000; Owen, "The pigeonhole
    bootstrap", Annals of Applied Statistics 2007, who shows that the variance is never too small on average).
    With few runs that differ by more than the test set's own error it is still too narrow, for 95 % as low as 87 %
    with three, simulated: take `crossed.crossed_interval` below ten.

    Args:
        values: What each image counts in each run [R, N].
        labels: True class indices [N].
        confidence: Coverage, in (0, 1).
        draws: Number of resampled experiments.
        seed: Equal seeds give equal intervals, in whatever order the images are.

    Returns:
        None for one run, for one image, or where the draws cannot differ.

    Raises:
        DataError: No runs or images, or not as many labels as images.
        NumericsError: A value that is not finite.
    """
    matrix = matching(values, labels, runs=True)
    if len(matrix) < 2:
        return None
    return _bootstrap(matrix, labels, confidence=confidence, draws=draws, seed=seed)


def finite(values: Numbers, name: str) -> NDArray[np.float64]:
    """`values` in float64.

    Raises:
        DataError: There are none.
        NumericsError: One is not finite.
    """
    exact = np.asarray(values, dtype=np.float64)
    if exact.size == 0:
        raise DataError(fault(f"no {name}", got="none", expected="at least one", remedy="judge some images first"))
    wrong = int((~np.isfinite(exact)).sum())
    if wrong:
        raise NumericsError(
            fault(
                f"{name} that are not finite",
                got=f"{wrong} of {exact.size} with NaN or infinity",
                expected="numbers",
                remedy="leave out no failed run silently: repeat it, or report it as failed",
            )
        )
    return exact


def matching(values: Numbers, labels: NDArray[Any], *, runs: bool = False) -> NDArray[np.float64]:
    """`values` in float64, [N] as `labels`, or with `runs` [R, N].

    Raises:
        DataError: They have another shape, or there are none.
        NumericsError: One is not finite.
    """
    exact = finite(values, "values")
    if exact.ndim != 1 + runs or exact.shape[runs:] != labels.shape:
        raise DataError(
            fault(
                "values and labels of different images",
                got=f"shapes {list(exact.shape)} and {list(labels.shape)}",
                expected=f"{'[runs, N]' if runs else '[N]'} and [N]",
                remedy="judge every run on the same images",
            )
        )
    return exact


def strata_of(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Each image's stratum [N], from 0: its class.

    A class of one image shows no variance: such classes are one stratum together, a single one goes with the smallest.
    """
    _, strata, counts = np.unique(labels, return_inverse=True, return_counts=True)
    lone = counts == 1
    if lone.sum() == 1 and len(counts) > 1:
        lone[np.argmin(np.where(lone, np.inf, counts))] = True
    together: NDArray[np.int64] = np.where(lone[strata], -1, strata)
    return np.unique(together, return_inverse=True)[1]


def require_confidence(confidence: float) -> None:
    """Refuse a coverage outside (0, 1) with a ValueError."""
    if not 0 < confidence < 1:
        raise ValueError(f"no coverage: {confidence}")


def _bootstrap(
    matrix: NDArray[np.float64], labels: NDArray[np.int64], *, confidence: float, draws: int, seed: int
) -> Interval | None:
    require_confidence(confidence)
    runs, n = matrix.shape
    if n == 1:
        return None
    strata = strata_of(labels)
    # An order of their own makes the draws independent of the order the images came in.
    ordered = matrix[:, np.lexsort((*matrix, strata))]
    counts = np.bincount(strata)
    sizes = np.repeat(counts, counts - 1)
    starts = np.repeat(np.cumsum(counts) - counts, counts - 1)
    weights = sizes / (n * (sizes - 1))
    generator = np.random.default_rng(seed)
    means = np.empty(draws)
    for part in np.array_split(means, max(1, -(-draws * n // CHUNK))):
        columns = starts + (generator.random((len(part), len(sizes))) * sizes).astype(np.int64)
        if runs == 1:
            part[:] = ordered[0][columns] @ weights
        else:
            shares = generator.multinomial(runs - 1, np.full(runs, 1 / runs), size=len(part)) / (runs - 1)
            part[:] = np.take_along_axis(shares @ ordered, columns, axis=1) @ weights
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return (float(low), float(high)) if high - low > ROUNDING else None
