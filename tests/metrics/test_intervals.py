import pytest
from scipy.stats import binomtest

from finegrain.metrics.intervals import wilson


@pytest.mark.parametrize(("successes", "n"), [(0, 1), (1, 1), (0, 30), (30, 30), (81, 263), (5000, 5794)])
@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
def test_agrees_with_scipy(successes: int, n: int, confidence: float) -> None:
    interval = binomtest(successes, n).proportion_ci(confidence, method="wilson")
    assert wilson(successes, n, confidence) == pytest.approx((interval.low, interval.high), abs=1e-12)


def test_known_value() -> None:
    # Newcombe, Statistics in Medicine 1998, table I: 81 of 263.
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)


def test_ends_stay_in_range() -> None:
    assert wilson(0, 10)[0] == 0.0
    assert wilson(10, 10)[1] == 1.0


def test_no_trials_say_nothing() -> None:
    assert wilson(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize(("successes", "n", "confidence"), [(2, 1, 0.95), (-1, 1, 0.95), (1, 1, 1.0), (1, 1, 0.0)])
def test_no_proportion(successes: int, n: int, confidence: float) -> None:
    with pytest.raises(ValueError, match="no proportion"):
        wilson(successes, n, confidence)
