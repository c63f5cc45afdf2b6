"""The power law: it is found where it is, and not where it is not."""

import numpy as np
import pytest

from finegrain.metrics.power_law import Fit, PowerLaw, fit_over_seeds, fit_power_law

COUNTS = (1, 3, 7, 14, 29)


@pytest.mark.parametrize(("a", "b", "c"), [(0.95, 0.4, 0.7), (0.6, 0.5, 0.3), (0.99, 0.2, 2.0), (1.0, 0.63, 0.45)])
@pytest.mark.parametrize("unit", [1, 50])
def test_a_law_that_holds_is_found(a: float, b: float, c: float, unit: int):
    counts = [unit * count for count in COUNTS]
    law = fit_power_law(counts, PowerLaw(a=a, b=b * unit**c, c=c).at(counts))
    assert law is not None
    assert (law.a, law.c) == pytest.approx((a, c), abs=1e-3)
    assert law.at([1000 * unit]) == pytest.approx(a - b * 1000**-c, abs=1e-3)


@pytest.mark.parametrize(
    "accuracies",
    [
        [0.5, 0.6, 0.65],  # too few
        [0.5, 0.5, 0.5, 0.5, 0.5],
        [0.9, 0.8, 0.7, 0.6, 0.5],  # falls
        [0.2, 0.2, 0.2, 0.2, 0.9],  # jumps
        [0.1, 0.9, 0.9, 0.9, 0.9],  # is there at once: nothing tells how steep
    ],
)
def test_no_law_is_made_up(accuracies: list[float]):
    assert fit_power_law(COUNTS[: len(accuracies)], np.array(accuracies)) is None


def test_the_same_number_twice_is_one_number():
    law = PowerLaw(a=0.9, b=0.5, c=0.8)
    assert fit_power_law([1, 3, 7], law.at([1, 3, 7])) is None
    assert fit_power_law([1, 3, 7, 7], law.at([1, 3, 7, 7])) is None


def test_the_interval_comes_from_the_seeds():
    truth = PowerLaw(a=0.9, b=0.5, c=0.8)
    noise = np.random.default_rng(0).normal(0, 0.01, (8, len(COUNTS)))
    fit = fit_over_seeds(COUNTS, truth.at(COUNTS) + noise)
    assert fit is not None
    assert len(fit.others) > 180
    (near, far) = fit.intervals([29, 120]) or []
    assert near[0] < truth.at([29])[0] < near[1]
    assert far[0] < truth.at([120])[0] < far[1]
    assert far[1] - far[0] > near[1] - near[0]
    again = fit_over_seeds(COUNTS, truth.at(COUNTS) + noise)
    assert again == fit


def test_seeds_that_say_the_same_leave_no_doubt_and_one_seed_leaves_all():
    law = PowerLaw(a=0.9, b=0.5, c=0.8)
    fit = fit_over_seeds(COUNTS, np.stack([law.at(COUNTS)] * 3))
    assert fit is not None
    ((low, high),) = fit.intervals([60]) or []
    assert high - low < 1e-9
    alone = fit_over_seeds(COUNTS, law.at(COUNTS)[None])
    assert isinstance(alone, Fit)
    assert alone.intervals([60]) is None


def test_seeds_of_which_few_tell_a_law_give_no_interval():
    law = PowerLaw(a=0.9, b=0.5, c=0.8).at(COUNTS)
    fit = fit_over_seeds(COUNTS, np.stack([law, law, law, 4 * law.mean() - 3 * law]))
    assert fit is None or fit.others == ()
