import dataclasses

import numpy as np
import pytest
from scipy.stats import kstest

from finegrain.errors import DataError, NumericsError
from finegrain.metrics import feature_sets
from finegrain.metrics.feature_sets import Extractor
from finegrain.metrics.kernel_distance import KernelDistance, mmd2
from finegrain.metrics.kernel_distance import kernel_distance as distance_of


def gaussian(n: int, *, seed: int, shift: float = 0.0, d: int = 4) -> np.ndarray:
    return np.random.default_rng(seed).normal(shift, 1, (n, d))


def by_loops(real: np.ndarray, fake: np.ndarray) -> float:
    """The definition, pair by pair."""

    def k(x: np.ndarray, y: np.ndarray) -> float:
        return (sum(a * b for a, b in zip(x, y, strict=True)) / len(x) + 1) ** 3

    def within(rows: np.ndarray) -> float:
        n = len(rows)
        return sum(k(rows[i], rows[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))

    across = sum(k(x, y) for x in real for y in fake) / (len(real) * len(fake))
    return within(real) + within(fake) - 2 * across


@pytest.mark.parametrize("block", [1, 17, 2**22])
def test_mmd2_is_its_definition(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(feature_sets, "BLOCK", block)
    real, fake = gaussian(7, seed=0), gaussian(5, seed=1, shift=0.5)
    assert mmd2(real, fake) == pytest.approx(by_loops(real, fake), rel=1e-12)


def test_mmd2_by_hand() -> None:
    # D = 1: within real k(1, 2) = 27, within fake k(0, 0) = 1, across k(1, 0) = k(2, 0) = 1.
    assert mmd2(np.array([[1.0], [2.0]]), np.array([[0.0], [0.0]])) == pytest.approx(27 + 1 - 2)


def test_mmd2_of_one_distribution_is_zero_on_average() -> None:
    values = [mmd2(gaussian(6, seed=2 * i), gaussian(9, seed=2 * i + 1)) for i in range(2000)]
    assert abs(np.mean(values)) < 3 * np.std(values, ddof=1) / len(values) ** 0.5
    assert min(values) < 0


def test_mmd2_knows_no_order_no_side_and_no_rotation() -> None:
    real, fake = gaussian(8, seed=3), gaussian(6, seed=4, shift=1)
    value = mmd2(real, fake)
    rotation = np.linalg.qr(gaussian(4, seed=5))[0]
    assert mmd2(fake, real) == pytest.approx(value, rel=1e-12)
    assert mmd2(real[::-1], np.roll(fake, 2, axis=0)) == pytest.approx(value, rel=1e-12)
    assert mmd2(real @ rotation, fake @ rotation) == pytest.approx(value, rel=1e-12)
    assert mmd2(real.astype(np.float32), fake.astype(np.float32)) == pytest.approx(value, rel=1e-5)


def test_mmd2_refuses_what_it_cannot_judge() -> None:
    two = gaussian(2, seed=0)
    with pytest.raises(DataError, match=r"too few generated images: got 1; expected at least 2"):
        mmd2(two, two[:1])
    with pytest.raises(DataError, match=r"different extractors: got 4 and 3 features"):
        mmd2(two, two[:, :3])
    with pytest.raises(DataError, match=r"no features of real images: got shape \[4\]"):
        mmd2(two[0], two)
    with pytest.raises(NumericsError, match=r"generated images that are not finite: got 1 of 2"):
        mmd2(two, np.array([[np.nan, 0, 0, 0], [0, 0, 0, 0]]))


NETWORK = Extractor(name="resnet50", sha256="ab" * 32)


def judged(real: np.ndarray, fake: np.ndarray, *, seed: int = 0, **numbers: int) -> KernelDistance:
    return distance_of(real, fake, extractor=NETWORK, seed=seed, **({"permutations": 99, "draws": 200} | numbers))


def test_the_value_is_mmd2_and_a_seed_repeats_it() -> None:
    real, fake = gaussian(15, seed=0), gaussian(11, seed=1, shift=0.5)
    result = judged(real, fake)
    assert result.value == pytest.approx(mmd2(real, fake), rel=1e-12)
    assert (result.n_real, result.n_fake, result.features, result.extractor) == (15, 11, 4, NETWORK)
    assert result == judged(real, fake) != judged(real, fake, seed=1)


def test_parts_of_one_draw_change_neither_value_nor_meaning(monkeypatch: pytest.MonkeyPatch) -> None:
    real, fake = gaussian(30, seed=0), gaussian(20, seed=1, shift=0.5)
    whole = judged(real, fake, permutations=999, draws=4000)
    monkeypatch.setattr(feature_sets, "BLOCK", 50 * 7)
    parts = judged(real, fake, permutations=999, draws=4000)
    assert parts.value == whole.value
    assert parts.interval == pytest.approx(whole.interval, rel=0.2)
    assert parts.floor.high == pytest.approx(whole.floor.high, rel=0.2)


def test_p_is_uniform_where_nothing_differs() -> None:
    p = [judged(gaussian(10, seed=2 * i), gaussian(13, seed=2 * i + 1), draws=10).p for i in range(400)]
    assert kstest(p, "uniform").pvalue > 0.01
    assert min(p) >= 0.01


def test_p_is_smallest_for_another_distribution_and_1_for_the_same_images() -> None:
    assert judged(gaussian(20, seed=0), gaussian(20, seed=1, shift=1.5)).p == 0.01
    # Exchanging images that are all the same gives the same value each time: as far, so it counts.
    assert judged(np.full((10, 3), 0.3), np.full((12, 3), 0.3)).p == 1


def test_the_interval_holds_the_truth() -> None:
    # Of U(−1, 1) and U(−0.5, 1.5), D = 1: 3·Δm₁² + 3·Δm₂² + Δm₃² with the moments' differences 0.5, 0.25 and 0.625.
    truth, results = 3 * 0.25 + 3 * 0.0625 + 0.625**2, []
    for i in range(300):
        x = np.random.default_rng(i).uniform(-1, 1, (50, 1))
        results.append(judged(x[:25], x[25:] + 0.5, permutations=1))
    intervals = np.array([result.interval for result in results])
    held = np.mean((intervals[:, 0] <= truth) & (truth <= intervals[:, 1]))
    # Of 300 intervals of 95 %, give or take four standard errors; nor are they wide for nothing.
    assert held >= 0.9
    spread = np.std([result.value for result in results], ddof=1)
    assert np.diff(intervals).mean() / (2 * 1.96 * spread) == pytest.approx(1, abs=0.2)


def test_no_image_meets_itself_in_the_interval() -> None:
    """With many features an image is far more like itself than like any other: counted, no interval would reach 0."""
    for i in range(20):
        interval = judged(gaussian(20, seed=2 * i, d=200), gaussian(20, seed=2 * i + 1, d=200), permutations=1).interval
        assert interval is not None
        assert interval[0] < 0 < interval[1]


def test_an_interval_that_cannot_vary_is_none() -> None:
    assert judged(np.full((10, 3), 0.5), np.full((12, 3), 1.0)).interval is None


def test_the_floor_is_real_against_real() -> None:
    real = gaussian(41, seed=0)
    floor = judged(real, gaussian(50, seed=1), draws=2000).floor
    assert floor.n == 20
    assert judged(real, gaussian(12, seed=1)).floor.n == 12
    assert abs(floor.mean) < floor.high / 10
    halves = [np.random.default_rng(i).permutation(real)[:40] for i in range(500)]
    assert floor.high == pytest.approx(np.quantile([mmd2(h[:20], h[20:]) for h in halves], 0.95), rel=0.2)
    assert judged(real, gaussian(50, seed=1, shift=2)).above_floor
    assert not judged(real, real).above_floor


def test_other_extractors_are_not_compared() -> None:
    real = gaussian(20, seed=0)
    near, far = judged(real, gaussian(20, seed=1)), judged(real, gaussian(20, seed=2, shift=1))
    assert near.difference(far) == near.value - far.value < 0
    other = dataclasses.replace(far, extractor=Extractor(name="resnet50", sha256="cd" * 32))
    with pytest.raises(DataError, match=r"got resnet50 \(abababababab\) and resnet50 \(cdcdcdcdcdcd\)"):
        near.difference(other)


def test_what_has_no_interval_or_no_room_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    ten = gaussian(10, seed=0)
    with pytest.raises(DataError, match="too few generated images: got 9; expected at least 10"):
        judged(ten, ten[:9])
    monkeypatch.setattr(feature_sets, "MOST", 19)
    with pytest.raises(DataError, match="too many images to hold every pair: got 20; expected at most 19"):
        judged(ten, ten)
