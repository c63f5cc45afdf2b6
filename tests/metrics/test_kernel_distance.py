import numpy as np
import pytest

from finegrain.errors import DataError, NumericsError
from finegrain.metrics import feature_sets
from finegrain.metrics.kernel_distance import mmd2


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
