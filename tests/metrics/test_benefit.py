import numpy as np
import pytest
from scipy.stats import ttest_1samp

from finegrain.errors import DataError, NumericsError
from finegrain.metrics.benefit import benefit


@pytest.mark.parametrize(
    ("differences", "verdict"),
    [
        ([0.010, 0.012, 0.008, 0.011, 0.009], "helps"),
        ([-0.010, -0.012, -0.008, -0.011, -0.009], "hurts"),
        ([0.001, -0.001, 0.002, -0.002, 0.0], "no evidence"),
        ([0.060, 0.001, -0.002, 0.002, 0.0], "no evidence"),  # A mean of more than a point, from one seed.
        ([0.02] * 5, "no evidence"),  # Five equal numbers show no spread.
        ([0.0] * 5, "no evidence"),
    ],
)
def test_planted(differences: list[float], verdict: str) -> None:
    assert benefit(np.array(differences)).verdict == verdict


def test_is_the_t_interval() -> None:
    values = np.random.default_rng(0).normal(0.01, 0.01, 8)
    result, reference = benefit(values), ttest_1samp(values, 0).confidence_interval(0.95)
    assert result.interval == pytest.approx((reference.low, reference.high))
    assert (result.n, result.mean) == (8, pytest.approx(values.mean()))


def test_no_difference_is_taken_for_one_in_a_twentieth() -> None:
    draws = np.random.default_rng(0).normal(0, 0.01, (2000, 5))
    found = np.mean([benefit(row).verdict != "no evidence" for row in draws])
    assert found == pytest.approx(0.05, abs=4 * (0.05 * 0.95 / 2000) ** 0.5)


def test_few_seeds_have_no_verdict() -> None:
    with pytest.raises(DataError, match="too few paired seeds for a verdict: got 4; expected at least 5"):
        benefit(np.full(4, 0.1))
    with pytest.raises(NumericsError, match="differences that are not finite"):
        benefit(np.array([0.1, 0.2, 0.3, 0.4, np.nan]))
