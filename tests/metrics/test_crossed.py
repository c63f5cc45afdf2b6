import math

import numpy as np
import pytest
from scipy import stats

from finegrain.errors import DataError, NumericsError
from finegrain.metrics.crossed import CrossedError, crossed_error, crossed_interval
from finegrain.metrics.statistics import hierarchical_bootstrap


def error_of(of_runs: float, of_images: float) -> CrossedError:
    return CrossedError(of_runs=of_runs, runs_df=2, of_images=of_images, images_df=300)


def test_parts_by_hand() -> None:
    values = np.array([[1, 1, 0, 0, 1], [1, 0, 1, 0, 1]])
    error = crossed_error(values, np.array([0, 0, 0, 1, 1]))
    # Means of both runs 0.6; of images 1, 1/2, 1/2 in one class (variance 1/12) and 0, 1 in the other (variance 1/2).
    assert error is not None
    assert (error.of_runs, error.runs_df, error.images_df) == (0.0, 1, 3)
    assert error.of_images == pytest.approx(math.sqrt(0.6**2 / 12 / 3 + 0.4**2 / 2 / 2))
    values[1, 3] = 1
    error = crossed_error(values, np.array([0, 0, 0, 1, 1]))
    assert error is not None
    assert error.of_runs == pytest.approx(np.std([0.6, 0.8], ddof=1) / math.sqrt(2))
    assert error.total == pytest.approx(math.hypot(error.of_runs, error.of_images))


def test_runs_equal_but_for_rounding_do_not_vary() -> None:
    values = np.array([[0.1, 0.2, 0.3], [0.3, 0.2, 0.1]])
    assert np.ptp(values.mean(axis=1)) > 0
    error = crossed_error(values, np.zeros(3, dtype=np.int64))
    assert error is None


@pytest.mark.parametrize("tail", [0.2, 0.025, 1e-6])
def test_one_part_alone_is_students(tail: float) -> None:
    assert error_of(0.03, 0).quantile(tail) == pytest.approx(0.03 * stats.t.isf(tail, 2))
    assert error_of(0, 0.03).quantile(tail) == pytest.approx(0.03 * stats.t.isf(tail, 300))
    between = error_of(0.03, 0.04).quantile(tail) / 0.05
    assert between == pytest.approx(0.36 * stats.t.isf(tail, 2) + 0.64 * stats.t.isf(tail, 300))


@pytest.mark.parametrize("p", [0.9, 0.05, 1e-5])
def test_p_value_is_the_level_of_the_interval_that_reaches_zero(p: float) -> None:
    error = error_of(0.01, 0.02)
    assert error.p_value(error.quantile(p / 2)) == pytest.approx(p)
    assert error.p_value(-error.quantile(p / 2)) == pytest.approx(p)


def test_ends_of_the_p_value() -> None:
    assert error_of(0.01, 0.02).p_value(0) == 1.0
    assert error_of(0, 1e-9).p_value(1.0) == 0.0


def test_interval_covers_another_training_on_another_test_set() -> None:
    generator, covered, of_runs_alone, repeats = np.random.default_rng(0), 0, 0, 600
    truth = stats.norm.cdf(1.2 / math.sqrt(1 + 0.1**2 + 2**2))
    labels = np.zeros(320, dtype=np.int64)
    for _ in range(repeats):
        skill, ease = 0.1 * generator.normal(size=(5, 1)), 2 * generator.normal(size=320)
        hits = 1.2 + skill + ease + generator.normal(size=(5, 320)) > 0
        low, high = crossed_interval(hits, labels) or (0, 0)
        covered += low <= truth <= high
        runs = hits.mean(axis=1)
        of_runs_alone += abs(runs.mean() - truth) <= stats.t.ppf(0.975, 4) * stats.sem(runs)
    assert 0.94 <= covered / repeats <= 0.985
    assert of_runs_alone / repeats < 0.85


def test_agrees_with_the_bootstrap_where_runs_are_many() -> None:
    generator = np.random.default_rng(0)
    hits = generator.normal(size=(40, 1)) * 0.2 + generator.normal(size=300) + generator.normal(size=(40, 300)) > -1
    labels = np.arange(300) % 7
    closed, resampled = crossed_interval(hits, labels), hierarchical_bootstrap(hits, labels, draws=4000)
    assert closed == pytest.approx(resampled, abs=0.006)


def test_what_says_nothing() -> None:
    labels = np.array([0, 0])
    assert crossed_error(np.array([[True], [False]]), np.array([0])) is None
    assert crossed_interval(np.array([[True], [False]]), np.array([0])) is None
    assert crossed_interval(np.array([[True, False]]), labels) is None
    assert crossed_interval(np.ones((3, 2)), labels) is None
    assert crossed_error(np.array([[True, False]]), labels) is not None


def test_images_that_do_not_fit_are_refused() -> None:
    with pytest.raises(DataError, match="different images"):
        crossed_error(np.ones((2, 3)), np.array([0, 0]))
    with pytest.raises(NumericsError, match="1 of 2"):
        crossed_error(np.array([[np.nan, 1]]), np.array([0, 0]))
