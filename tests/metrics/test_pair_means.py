from itertools import combinations

import numpy as np
import pytest

from finegrain.metrics.kernel_distance import kernel, mmd2
from finegrain.metrics.pair_means import across, exchanged, in_parts, percentile_interval, resampled, within

ROWS = np.random.default_rng(0).normal(0, 1, (7, 4))
PAIRS = kernel(ROWS, ROWS) * (1 - np.eye(7))


def test_a_weight_is_an_image_repeated_that_never_meets_itself() -> None:
    weights = np.array([3, 0, 1, 2, 0, 0, 1])
    drawn = np.repeat(np.arange(7), weights)
    pairs = [PAIRS[i, j] for i in drawn for j in drawn if i != j]
    assert within(PAIRS, weights[None].astype(float))[0] == pytest.approx(np.mean(pairs))
    other = np.array([1, 1, 0, 0, 4, 0, 0])
    mixed = [PAIRS[i, j] for i in drawn for j in np.repeat(np.arange(7), other)]
    assert across(PAIRS, weights[None].astype(float), other[None].astype(float))[0] == pytest.approx(np.mean(mixed))


def test_a_draw_of_one_image_alone_has_no_pair() -> None:
    assert within(PAIRS, np.array([[6.0, 0, 0, 0, 0, 0, 0]]))[0] == 0


def test_draws_lie_about_the_value_of_the_sample() -> None:
    draws, value = within(PAIRS, resampled(np.random.default_rng(0), 7, 20_000)), PAIRS.sum() / 42
    # What images that meet themselves would add: (mean diagonal − mean of the rest)/N.
    bias = (kernel(ROWS, ROWS).diagonal().mean() - value) / 7
    assert bias > 0.5
    assert draws.mean() == pytest.approx(value, abs=bias / 5)


def test_draws_take_one_image_fewer() -> None:
    weights = resampled(np.random.default_rng(0), 12, 5000)
    assert weights.shape == (5000, 12)
    assert (weights.sum(axis=1) == 11).all()
    assert weights.mean(axis=0) == pytest.approx(np.full(12, 11 / 12), abs=0.06)


def test_every_exchange_of_the_two_sizes_comes_up_and_no_other() -> None:
    values = exchanged(PAIRS, 3, np.random.default_rng(0), 500)
    possible = [mmd2(ROWS[list(chosen)], np.delete(ROWS, chosen, axis=0)) for chosen in combinations(range(7), 3)]
    assert np.abs(values[:, None] - np.array(possible)).min(axis=1).max() < 1e-12
    assert len(np.unique(values.round(9))) == len(possible) == 35


def test_parts_make_up_the_draws() -> None:
    sizes: list[int] = []
    values = in_parts(lambda count: sizes.append(count) or np.full(count, len(sizes)), 10, 2**20)
    assert sizes == [4, 4, 2]
    assert values.tolist() == [1, 1, 1, 1, 2, 2, 2, 2, 3, 3]


def test_the_interval_is_the_middle_of_the_draws() -> None:
    assert percentile_interval(np.arange(101.0), 0.9) == pytest.approx((5, 95))
    assert percentile_interval(np.full(9, 0.3), 0.9) is None
    with pytest.raises(ValueError, match="no coverage"):
        percentile_interval(np.arange(9.0), 1.0)
