import numpy as np
import pytest
from scipy.spatial.distance import pdist

from finegrain.errors import DataError
from finegrain.metrics.diversity import diversity


def gaussian(n: int, *, seed: int, spread: float = 1.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(5, spread, (n, 16))


def test_known_values() -> None:
    real, fake = gaussian(15, seed=0), gaussian(12, seed=1)
    result = diversity(real, fake, seed=0)
    assert result.real == pytest.approx(pdist(real).mean())
    assert result.fake == pytest.approx(pdist(fake).mean())
    assert result.ratio == pytest.approx(pdist(fake).mean() / pdist(real).mean())
    assert (result.n_real, result.n_fake) == (15, 12)
    assert result == diversity(real, fake, seed=0)


def test_a_scale_is_the_ratio_and_a_shift_is_none() -> None:
    real = gaussian(20, seed=0)
    assert diversity(real, 0.3 * real, seed=0).ratio == pytest.approx(0.3)
    assert diversity(real, real + 7, seed=0).ratio == pytest.approx(1)


def test_the_interval_holds_the_truth() -> None:
    intervals = [
        diversity(gaussian(20, seed=2 * i), gaussian(20, seed=2 * i + 1), seed=i, draws=200) for i in range(200)
    ]
    held = np.mean([i.interval[0] <= 1 <= i.interval[1] for i in intervals])
    # Of 200 intervals of 95 %, give or take three standard errors.
    assert held >= 0.9
    spread = np.std([i.ratio for i in intervals], ddof=1)
    assert np.mean([np.diff(i.interval) for i in intervals]) / (2 * 1.96 * spread) == pytest.approx(1, abs=0.2)


def test_a_collapse_is_found_and_no_other() -> None:
    real = gaussian(30, seed=0)
    alike = diversity(real, np.repeat(real[:1] + 1e-3, 20, axis=0), seed=0)
    assert (alike.ratio, alike.interval, alike.collapsed) == (0, None, True)
    assert diversity(real, gaussian(30, seed=1, spread=0.1), seed=0).collapsed
    assert not diversity(real, gaussian(30, seed=1, spread=0.8), seed=0).collapsed
    unsure = diversity(real, gaussian(10, seed=2, spread=0.5), seed=0)
    assert unsure.interval[0] < unsure.ratio < 0.5 < unsure.interval[1]
    assert not unsure.collapsed


def test_a_mean_sees_little_of_few_images_over_and_over() -> None:
    real = gaussian(30, seed=0)
    # Ten images, ten times each: of 99 others 9 are the same.
    repeated = diversity(real, np.repeat(real[:10], 10, axis=0), seed=0)
    assert repeated.fake == pytest.approx(pdist(real[:10]).mean() * 90 / 99)
    assert not repeated.collapsed


def test_what_has_no_diversity_is_refused() -> None:
    real = gaussian(12, seed=0)
    with pytest.raises(DataError, match="real images that are all the same: got one row of features 12 times"):
        diversity(np.repeat(real[:1], 12, axis=0), real, seed=0)
    with pytest.raises(DataError, match="too few generated images: got 9"):
        diversity(real, real[:9], seed=0)
