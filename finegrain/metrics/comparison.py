"""Is one recipe better than another? Paired tests with effect, interval, p value, and what could have been shown."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom
from scipy.stats import t as student

from finegrain.errors import DataError, fault
from finegrain.metrics.crossed import CrossedError, crossed_error, crossed_interval
from finegrain.metrics.statistics import (
    Interval,
    Numbers,
    bootstrap_interval,
    corrected_standard_error,
    corrected_t_interval,
    finite,
    matching,
)

Verdict = Literal["better", "no evidence", "worse"]
Error = CrossedError | tuple[float, int]
"""Of a difference: both parts, or one standard error with its degrees of freedom."""
ALPHA = 0.05
"""Level of every test."""


@dataclass(frozen=True, kw_only=True, slots=True)
class McNemar:
    """The images on which two models differ."""

    only_first: int
    """Images that only the first got right."""
    only_second: int
    p: float
    """Exact and two-sided: 2·P(X ≤ the smaller count), X binomial with probability 1/2; at most 1."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """What the same images, runs or folds say of two recipes."""

    difference: float
    """Accuracy of the first minus that of the second, in [-1, 1]."""
    interval: Interval | None
    """Of the difference, 95 %; None where the data say nothing of its spread."""
    p: float | None
    """Two-sided, of no difference; None where the data say nothing of it."""
    adjusted_p: float | None
    """`p`; in a family Holm's, which is what the verdict counts."""
    error: Error | None
    """Of the difference; None as above."""
    method: str
    """The test and the interval, in words."""
    family: int = 1
    """How many comparisons are made together."""

    @property
    def smallest(self) -> float | None:
        """The smallest difference that had an 80 % chance to be shown, by `smallest_detectable`; None as above.

        In a family at Holm's strictest step, the level divided by its size: what every one of them can count on.
        """
        return None if self.error is None else smallest_detectable(self.error, alpha=ALPHA / self.family)

    def verdict(self, alpha: float = ALPHA) -> Verdict:
        """Whether the first is better: never from the difference alone.

        `adjusted_p` must be at most `alpha`, and the interval, where there is one, must lie on one side of 0. "no
        evidence" is not "equal": see `smallest`.
        """
        if self.adjusted_p is None or self.adjusted_p > alpha:
            return "no evidence"
        if self.interval is not None and self.interval[0] <= 0 <= self.interval[1]:
            return "no evidence"
        return "better" if self.difference > 0 else "worse"


def mcnemar(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> McNemar:
    """McNemar's test of two models on the same images (Psychometrika 1947), exact.

    It speaks of these two models on other images, not of another training.

    Args:
        first: Whether each image was recognised by the first model [N].
        second: The same for the second.

    Raises:
        DataError: No images, or not the same number.
        NumericsError: NaN among them.
    """
    difference = _difference(first, second)
    only_first, only_second = int((difference > 0).sum()), int((difference < 0).sum())
    fewer, n = min(only_first, only_second), only_first + only_second
    p = min(1.0, 2 * float(binom.cdf(fewer, n, 0.5)))
    return McNemar(only_first=only_first, only_second=only_second, p=p)


def corrected_t_test(differences: Numbers, *, test_ratio: float) -> float | None:
    """The p value of a mean difference of 0, by the corrected resampled t-test.

    Nadeau & Bengio, Machine Learning 2003: t = mean / √((1/J + n_test/n_train)·s²), J − 1 degrees of freedom,
    two-sided. A heuristic: see `corrected_standard_error`, with its errors.

    Args:
        differences: Of the two scores in each of J cells, of any shape.
        test_ratio: n_test/n_train of one cell.

    Returns:
        1 where every difference is 0; None where all are equal otherwise, or there is one: nothing shows their spread.
    """
    error = corrected_standard_error(differences, test_ratio=test_ratio)
    if error is None:
        return None if np.any(differences) else 1.0
    return 2 * float(student.sf(abs(float(np.mean(differences))) / error, np.size(differences) - 1))


def holm(p_values: Sequence[float | None]) -> tuple[float | None, ...]:
    """Adjust the p values of a family so that at most a share alpha of families has any false finding.

    Holm, Scandinavian Journal of Statistics 1979: the i-th smallest of m times m − i + 1, never falling, at most 1.

    Args:
        p_values: In [0, 1]. A None, a comparison that said nothing, counts in m and stays None.

    Raises:
        ValueError: A value outside [0, 1], or NaN.
    """
    known = np.array([1.0 if p is None else p for p in p_values])
    if not ((known >= 0) & (known <= 1)).all():
        raise ValueError(f"no p values: {list(p_values)}")
    order = np.argsort(known, kind="stable")
    adjusted = np.empty(len(known))
    adjusted[order] = np.minimum(1, np.maximum.accumulate(known[order] * np.arange(len(known), 0, -1)))
    return tuple(None if p is None else float(a) for p, a in zip(p_values, adjusted, strict=True))


def smallest_detectable(error: Error, *, alpha: float = ALPHA, power: float = 0.8) -> float:
    """The smallest true difference that a two-sided test at level `alpha` shows with probability `power`.

    (t_{1 − alpha/2} + t_{power})·standard error (Bloom, Evaluation Review 1995). It depends on the precision that was
    reached, not on the difference that was seen.

    Args:
        error: Above 0; infinite degrees of freedom are the normal distribution's. The result has its unit.
        alpha: Level of the test, in (0, 1).
        power: In (0, 1).

    Raises:
        ValueError: A level or power outside (0, 1).
    """
    if not (0 < alpha < 1 and 0 < power < 1):
        raise ValueError(f"no test: level {alpha}, power {power}")
    if isinstance(error, CrossedError):
        return error.quantile(alpha / 2) + error.quantile(1 - power)
    return error[0] * float(student.isf(alpha / 2, error[1]) + student.isf(1 - power, error[1]))


def compare_models(
    first: NDArray[np.bool_], second: NDArray[np.bool_], labels: NDArray[np.int64], *, seed: int = 0
) -> Comparison:
    """Two trained models on the same test images: McNemar's exact test and the paired stratified bootstrap.

    One training each: the verdict is on these two models, and another seed may turn it.

    Args:
        first: Whether each image was recognised by the first model [N].
        second: The same for the second.
        labels: True class indices [N].
        seed: Of the bootstrap.

    Raises:
        DataError: No images, or not the same number.
        NumericsError: NaN among them.
    """
    difference = matching(_difference(first, second), labels)
    p = mcnemar(first, second).p
    return Comparison(
        difference=float(difference.mean()),
        interval=bootstrap_interval(difference, labels, seed=seed),
        p=p,
        adjusted_p=p,
        error=crossed_error(difference[None], labels),
        method="one training each: McNemar's exact test, paired bootstrap over images stratified by class",
    )


def compare_runs(first: NDArray[np.bool_], second: NDArray[np.bool_], labels: NDArray[np.int64]) -> Comparison:
    """Two recipes, each trained with R seeds and judged on the same test images: another training, other images.

    Neither R runs as one big test set (which takes the same image for R images) nor the R accuracies alone (which takes
    this test set for all images) would be honest. The mean difference over its `crossed_error`, in which runs and
    images both count, gives p and interval: unlike `hierarchical_bootstrap` it is not too narrow with few runs.

    Args:
        first: Whether each image was recognised by each run [R, N].
        second: The same for the second recipe; run r of one is set against run r of the other. A common seed makes
            this sharper, but runs that have nothing in common may be paired in any order fixed beforehand.
        labels: True class indices [N].

    Returns:
        With one run, p and interval are None: nothing is known of another training; see `compare_models`.

    Raises:
        DataError: No images, or not the same number of runs or images.
        NumericsError: NaN among them.
    """
    difference = matching(_difference(first, second), labels, runs=True)
    error = crossed_error(difference, labels) if len(difference) > 1 else None
    mean = float(difference.mean())
    unchanged = len(difference) > 1 and not difference.any()
    p = error.p_value(mean) if error else 1.0 if unchanged else None
    return Comparison(
        difference=mean,
        interval=crossed_interval(difference, labels),
        p=p,
        adjusted_p=p,
        error=error,
        method=f"{len(difference)} trainings each: paired t-test, runs and images both samples (Cochran & Cox 1957)",
    )


def compare_folds(first: Numbers, second: Numbers, *, test_ratio: float) -> Comparison:
    """Two recipes on the same folds: the corrected resampled paired t-test and its interval, a heuristic.

    Args:
        first: Accuracy in each cell, of any shape: k folds × r seeds.
        second: The same for the second recipe, cell by cell on the same images.
        test_ratio: n_test/n_train of one cell, see `corrected_standard_error`.

    Raises:
        DataError: No cells, or not the same.
        NumericsError: A score that is not finite.
    """
    difference = _difference(first, second)
    error = corrected_standard_error(difference, test_ratio=test_ratio)
    p = corrected_t_test(difference, test_ratio=test_ratio)
    return Comparison(
        difference=float(difference.mean()),
        interval=corrected_t_interval(difference, test_ratio=test_ratio),
        p=p,
        adjusted_p=p,
        error=None if error is None else (error, difference.size - 1),
        method=f"{difference.size} cells: corrected resampled t-test (Nadeau & Bengio 2003), a heuristic",
    )


def as_family(comparisons: Sequence[Comparison]) -> tuple[Comparison, ...]:
    """The same comparisons, adjusted by Holm for being made together; intervals stay those of one."""
    adjusted = holm([comparison.p for comparison in comparisons])
    return tuple(
        dataclasses.replace(comparison, adjusted_p=p, family=len(comparisons))
        for comparison, p in zip(comparisons, adjusted, strict=True)
    )


def _difference(first: Numbers, second: Numbers) -> NDArray[np.float64]:
    one, other = finite(first, "scores of the first"), finite(second, "scores of the second")
    if one.shape != other.shape:
        raise DataError(
            fault(
                "no pairs to compare",
                got=f"shapes {list(one.shape)} and {list(other.shape)}",
                expected="the same images, runs or folds",
                remedy="judge both on the same splits",
            )
        )
    return one - other
