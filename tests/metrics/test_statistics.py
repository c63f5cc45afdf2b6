import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from finegrain.errors import DataError, NumericsError
from finegrain.metrics.intervals import wilson
from finegrain.metrics.statistics import (
    bootstrap_interval,
    corrected_standard_error,
    corrected_t_interval,
    hierarchical_bootstrap,
    spread,
    strata_of,
)

SCORES = np.array([0.5, 0.6, 0.9, 0.4, 0.6])


def hits_and_labels(sizes: list[int], accuracy: float, seed: int = 0) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    return np.random.default_rng(seed).random(len(labels)) < accuracy, labels


def test_spread_counts_one_degree_of_freedom_less() -> None:
    cells = spread(SCORES)
    assert (cells.n, cells.mean, cells.variance, cells.sd) == pytest.approx((5, 0.6, 0.035, 0.035**0.5))
    assert spread(SCORES[:4].reshape(2, 2)) == spread(SCORES[:4])


def test_one_score_has_no_spread() -> None:
    cells = spread(np.array([0.7]))
    assert (cells.mean, cells.variance, cells.sd) == (0.7, None, None)
    assert corrected_standard_error(np.array([0.7]), test_ratio=0.25) is None
    assert corrected_t_interval(np.array([0.7]), test_ratio=0.25) is None


def test_equal_scores_give_no_interval_of_no_width() -> None:
    equal = np.array([0.9 - 0.8, 0.8 - 0.7, 0.4 - 0.3])  # Equal but for rounding.
    assert len(set(equal)) == 3
    assert spread(equal).sd == 0.0
    assert corrected_t_interval(equal, test_ratio=0.5) is None


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_scores_that_are_not_finite_are_refused(bad: float) -> None:
    with pytest.raises(NumericsError, match="1 of 2 with NaN or infinity"):
        spread(np.array([0.5, bad]))
    with pytest.raises(NumericsError, match="1 of 2 with NaN or infinity"):
        bootstrap_interval(np.array([0.5, bad]), np.array([0, 0]))


def test_no_scores_are_refused() -> None:
    with pytest.raises(DataError, match="no scores: got none"):
        spread(np.array([]))


def test_corrected_standard_error_golden_value() -> None:
    assert corrected_standard_error(SCORES, test_ratio=1 / 4) == pytest.approx(0.125499, abs=5e-7)


@pytest.mark.parametrize(("k", "r", "ratio"), [(5, 1, 1.50), (5, 3, 2.18), (5, 5, 2.69), (10, 3, 2.08), (10, 10, 3.48)])
def test_how_much_the_naive_standard_error_is_too_small(k: int, r: int, ratio: float) -> None:
    scores = np.random.default_rng(0).random((k, r))
    corrected, naive = (corrected_standard_error(scores, test_ratio=c) for c in (1 / (k - 1), 0))
    assert naive == pytest.approx(stats.sem(scores, axis=None))
    assert corrected is not None
    assert naive is not None
    assert corrected / naive == pytest.approx(ratio, abs=0.005)


def test_corrected_interval_by_hand() -> None:
    half = 2.776445 * 0.125499  # Student's 97.5 % quantile at 4 degrees of freedom.
    assert corrected_t_interval(SCORES, test_ratio=1 / 4) == pytest.approx((0.6 - half, 0.6 + half), abs=1e-6)
    naive = stats.t.interval(0.9, 4, 0.6, stats.sem(SCORES))
    assert corrected_t_interval(SCORES, test_ratio=0, confidence=0.9) == pytest.approx(naive)


def test_corrected_interval_covers_and_the_naive_does_not() -> None:
    # Scores of 5 folds × 3 seeds that correlate as overlapping training sets are taken to: by n_test/n.
    generator, k, j = np.random.default_rng(0), 5, 15
    covered = {1 / (k - 1): 0, 0.0: 0}
    for _ in range(1500):
        scores = generator.normal() * (1 / k) ** 0.5 + generator.normal(size=j) * (1 - 1 / k) ** 0.5
        for ratio in covered:
            low, high = corrected_t_interval(scores, test_ratio=ratio) or (np.nan, np.nan)
            covered[ratio] += low <= 0 <= high
    assert 0.93 < covered[1 / (k - 1)] / 1500 < 0.97
    assert covered[0.0] / 1500 < 0.75


@pytest.mark.parametrize("ratio", [-0.1, np.nan, np.inf])
def test_ratios_that_are_none(ratio: float) -> None:
    with pytest.raises(ValueError, match="no ratio"):
        corrected_standard_error(SCORES, test_ratio=ratio)


def test_strata_are_classes_but_none_of_one_image() -> None:
    assert strata_of(np.array([4, 4, 7, 7, 7])).tolist() == [0, 0, 1, 1, 1]
    assert strata_of(np.array([1, 2, 2, 3, 3, 4])).tolist() == [0, 1, 1, 2, 2, 0]
    assert strata_of(np.array([1, 1, 1, 2, 2, 3])).tolist() == [1, 1, 1, 0, 0, 0]
    assert strata_of(np.array([5, 6, 7])).tolist() == [0, 0, 0]


@pytest.mark.parametrize("size", [2, 3, 10])
def test_bootstrap_has_no_bias_in_small_classes(size: int) -> None:
    values, labels = np.random.default_rng(0).random(600), np.repeat(np.arange(600 // size), size)
    low, high = bootstrap_interval(values, labels, draws=4000, confidence=0.6827) or (0, 0)
    by_class = values.reshape(-1, size).var(axis=1, ddof=1)
    assert (high - low) / 2 == pytest.approx((by_class.mean() / 600) ** 0.5, rel=0.05)


def test_bootstrap_weights_classes_by_their_size() -> None:
    hits = np.array([True] * 30 + [False] * 5 + [True] * 5)
    low, high = bootstrap_interval(hits, np.repeat([0, 1], [30, 10])) or (0, 0)
    # Only the 10 images of the second class vary: 9 of them drawn, one in two a hit.
    share = stats.binom(9, 0.5)
    assert (low, high) == pytest.approx([(30 + 10 / 9 * share.ppf(p)) / 40 for p in (0.025, 0.975)])


def test_bootstrap_covers() -> None:
    sizes, covered = [5] * 24, 0
    for repeat in range(500):
        hits, labels = hits_and_labels(sizes, 0.7, seed=repeat)
        low, high = bootstrap_interval(hits, labels, draws=500, seed=repeat) or (0, 0)
        covered += low <= 0.7 <= high
    assert 0.93 <= covered / 500 <= 0.97


def test_order_of_images_changes_nothing() -> None:
    hits, labels = hits_and_labels([7, 1, 12, 3], 0.6)
    runs = np.stack([hits, np.roll(hits, 3), np.roll(hits, 5)])
    order = np.random.default_rng(1).permutation(len(labels))
    assert bootstrap_interval(hits, labels) == bootstrap_interval(hits[order], labels[order])
    assert hierarchical_bootstrap(runs, labels) == hierarchical_bootstrap(runs[:, order], labels[order])
    assert bootstrap_interval(hits, labels, seed=1) != bootstrap_interval(hits, labels, seed=2)


def test_large_sets_are_resampled_in_parts() -> None:
    hits, labels = hits_and_labels([100] * 90, 0.8)
    low, high = bootstrap_interval(hits, labels, draws=1000) or (0, 0)
    assert (low, high) == pytest.approx(wilson(int(hits.sum()), 9000), abs=0.002)


@pytest.mark.parametrize("hits", [[True] * 6, [True] * 3 + [False] * 3])
def test_nothing_that_varies_gives_no_interval(hits: list[bool]) -> None:
    labels = np.repeat([0, 1], 3)
    assert bootstrap_interval(np.array(hits), labels) is None
    assert hierarchical_bootstrap(np.array([hits, hits]), labels) is None


def test_one_image_or_one_run_gives_no_interval() -> None:
    assert bootstrap_interval(np.array([True]), np.array([0])) is None
    assert hierarchical_bootstrap(np.array([[True, False, True]]), np.array([0, 0, 0])) is None


def test_runs_are_not_taken_for_images() -> None:
    runs, labels = np.array([[True, False], [False, True]]), np.array([0, 0])
    with pytest.raises(DataError, match=r"different images: got shapes \[2, 2\] and \[2\]; expected \[N\] and"):
        bootstrap_interval(runs, labels)
    with pytest.raises(DataError, match="runs, N"):
        hierarchical_bootstrap(runs[0], labels)


@pytest.mark.parametrize("confidence", [0.0, 1.0, np.nan])
def test_coverages_that_are_none(confidence: float) -> None:
    with pytest.raises(ValueError, match="no coverage"):
        corrected_t_interval(SCORES, test_ratio=0.25, confidence=confidence)
    with pytest.raises(ValueError, match="no coverage"):
        bootstrap_interval(SCORES, np.zeros(5, dtype=np.int64), confidence=confidence)


def test_hierarchical_bootstrap_holds_both_uncertainties() -> None:
    # Runs that differ as a whole: all of the spread is theirs, and none of it is seen by images alone.
    labels = np.zeros(400, dtype=np.int64)
    runs = np.stack([np.arange(400) % 10 < tens for tens in (5, 6, 7, 8, 9, 6, 7, 8)])
    images = bootstrap_interval(runs.mean(axis=0), labels, draws=4000, confidence=0.6827) or (0, 0)
    both = hierarchical_bootstrap(runs, labels, draws=4000, confidence=0.6827) or (0, 0)
    of_images = runs.mean(axis=0).var(ddof=1) / 400
    of_runs = runs.mean(axis=1).var(ddof=1) / 8
    assert np.ptp(images) / 2 == pytest.approx(of_images**0.5, rel=0.05)
    assert np.ptp(both) / 2 == pytest.approx((of_images + of_runs) ** 0.5, rel=0.06)
