import numpy as np
import pytest

from finegrain.errors import DataError
from finegrain.metrics import feature_sets
from finegrain.metrics.density_coverage import density_coverage


def on_a_line(*places: float) -> np.ndarray:
    return np.array(places)[:, None]


def gaussian(n: int, *, seed: int, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(shift, 1, (n, 3))


def by_definition(real: np.ndarray, fake: np.ndarray, k: int) -> tuple[float, float]:
    hits = np.zeros((len(real), len(fake)), dtype=bool)
    for i, x in enumerate(real):
        radius = sorted(np.linalg.norm(x - other) for j, other in enumerate(real) if j != i)[k - 1]
        hits[i] = [np.linalg.norm(x - y) < radius for y in fake]
    return hits.sum() / (k * len(fake)), hits.any(axis=1).mean()


@pytest.mark.parametrize(
    ("fake", "density", "coverage"),
    [
        ([0.5], 2.0, 0.5),  # Within the balls of 0 and of 1.
        ([1.0], 1.0, 0.25),  # On the surface of those of 0 and 2: only within its own.
        ([0.5, 2.5], 2.0, 1.0),
        ([9.0, 0.5], 1.0, 0.5),
        ([-5.0, 9.0], 0.0, 0.0),
        ([0.5, 0.5, 0.5], 2.0, 0.5),  # Three alike are as dense, and reach no more.
    ],
)
def test_by_hand(fake: list[float], density: float, coverage: float) -> None:
    result = density_coverage(on_a_line(0, 1, 2, 3), on_a_line(*fake), k=1)
    assert (result.density, result.coverage) == (density, coverage)


@pytest.mark.parametrize("block", [1, 100, 2**22])
@pytest.mark.parametrize("k", [1, 5])
def test_is_its_definition(monkeypatch: pytest.MonkeyPatch, k: int, block: int) -> None:
    monkeypatch.setattr(feature_sets, "BLOCK", block)
    real, fake = gaussian(31, seed=0), gaussian(23, seed=1, shift=0.7)
    result = density_coverage(real, fake, k=k)
    assert (result.density, result.coverage) == pytest.approx(by_definition(real, fake, k))
    assert (result.n_real, result.n_fake, result.k) == (31, 23, k)


def test_real_images_themselves_give_1() -> None:
    # Far from 0, where rounding would put some k-th neighbours inside the balls that end at them.
    real = gaussian(40, seed=0, shift=30)
    result = density_coverage(real, real[::-1])
    assert (result.density, result.coverage) == (1, 1)


def test_like_sets_give_1_and_the_known_coverage_on_average() -> None:
    results = [density_coverage(gaussian(12, seed=2 * i), gaussian(8, seed=2 * i + 1), k=3) for i in range(600)]
    density, coverage = np.array([(r.density, r.coverage) for r in results]).T
    assert results[0].like_coverage == pytest.approx(1 - (11 * 10 * 9) / (19 * 18 * 17))
    for values, truth in ((density, 1), (coverage, results[0].like_coverage)):
        assert abs(values.mean() - truth) < 3 * values.std(ddof=1) / len(values) ** 0.5


def test_what_has_no_neighbour_is_refused() -> None:
    with pytest.raises(DataError, match="too few real images: got 5; expected at least 6"):
        density_coverage(gaussian(5, seed=0), gaussian(9, seed=1))
    with pytest.raises(ValueError, match="k = 0"):
        density_coverage(gaussian(5, seed=0), gaussian(9, seed=1), k=0)
