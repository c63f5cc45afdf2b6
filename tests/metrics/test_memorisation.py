import numpy as np
import pytest

from finegrain.errors import DataError
from finegrain.metrics import feature_sets
from finegrain.metrics.memorisation import memorised


def gaussian(n: int, *, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1, (n, 6))


TRAIN, HELD_OUT = gaussian(300, seed=0), gaussian(199, seed=1)


def test_planted_copies_are_found_nearest_first() -> None:
    fake = gaussian(60, seed=2) + 9  # Nowhere near train.
    fake[[4, 30, 51]] = TRAIN[[7, 7, 200]] + np.array([[1e-2], [0], [1e-3]])
    result = memorised(fake, TRAIN, HELD_OUT)
    assert result.copies.tolist() == [30, 51, 4]
    assert result.nearest_train[[4, 30, 51]].tolist() == [7, 7, 200]
    assert result.distance[30] == 0
    assert result.distance[4] == pytest.approx(6**0.5 * 1e-2)
    assert result.rate == 3 / 60
    assert memorised(TRAIN, TRAIN, HELD_OUT).p < 1e-12
    # An image like the held-out ones is as near as their second nearest with probability 2/200.
    assert memorised(TRAIN[:1], TRAIN, HELD_OUT).p == pytest.approx(0.01)
    assert memorised(fake[:1], TRAIN, HELD_OUT).p == 1


def test_the_threshold_passes_the_quantile_of_the_held_out_images_themselves() -> None:
    result = memorised(HELD_OUT, TRAIN, HELD_OUT)
    assert len(result.copies) == 2 == round(0.01 * 200)
    assert result.threshold == np.sort(result.distance)[1]
    assert (result.expected_rate, result.n_held_out) == (0.01, 199)
    assert memorised(HELD_OUT, TRAIN, HELD_OUT, quantile=0.1).rate == 20 / 199


def test_new_real_images_are_taken_for_copies_at_the_expected_rate() -> None:
    results = [
        memorised(gaussian(40, seed=3 * i), gaussian(50, seed=3 * i + 1), gaussian(99, seed=3 * i + 2))
        for i in range(400)
    ]
    rates = np.array([result.rate for result in results])
    assert abs(rates.mean() - 0.01) < 3 * rates.std(ddof=1) / len(rates) ** 0.5
    assert np.mean([result.p <= 0.05 for result in results]) <= 0.05 + 3 * (0.05 * 0.95 / 400) ** 0.5


def test_how_well_the_held_out_images_can_tell() -> None:
    assert memorised(TRAIN[:9], TRAIN, gaussian(99, seed=1)).expected_range == pytest.approx((0.0003, 0.0366), abs=5e-5)
    assert memorised(TRAIN[:9], TRAIN, gaussian(999, seed=1)).expected_range == pytest.approx(
        (0.0048, 0.0170), abs=5e-5
    )


@pytest.mark.parametrize("block", [1, 50, 2**22])
def test_duplicates_are_looked_for_within_a_class(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(feature_sets, "BLOCK", block)
    fake = 9 * gaussian(20, seed=3)
    fake[[5, 9, 15]] = fake[2] + np.array([[1e-4], [2e-4], [0]])
    labels = np.repeat([0, 1], 10)
    assert memorised(fake, TRAIN, HELD_OUT, labels=labels).duplicates.tolist() == [5, 9]
    result = memorised(fake, TRAIN, HELD_OUT)
    assert result.duplicates.tolist() == [5, 9, 15]
    assert result.duplicate_rate == 3 / 20
    left = np.delete(fake, result.duplicates, axis=0)
    assert len(memorised(left, TRAIN, HELD_OUT).duplicates) == 0


def test_what_cannot_be_calibrated_is_refused() -> None:
    with pytest.raises(DataError, match="too few held-out images: got 98; expected at least 99"):
        memorised(TRAIN, TRAIN, HELD_OUT[:98])
    with pytest.raises(DataError, match="held-out images that are in train: got 1 or more of 99 are the same"):
        memorised(TRAIN, TRAIN, np.concatenate([HELD_OUT[:98], TRAIN[:1]]))
    with pytest.raises(DataError, match="labels of other generated images"):
        memorised(TRAIN, TRAIN, HELD_OUT, labels=np.zeros(3, dtype=np.int64))
    with pytest.raises(DataError, match="generated images and train images by different extractors"):
        memorised(TRAIN[:, :5], TRAIN, HELD_OUT)
    with pytest.raises(ValueError, match="no quantile: 1"):
        memorised(TRAIN, TRAIN, HELD_OUT, quantile=1.0)
