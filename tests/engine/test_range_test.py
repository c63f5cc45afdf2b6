"""What a range test reads from its losses: a rate where there is a fall, and none where there is not."""

import math

import numpy as np
import pytest

from finegrain.engine.lr_range import smooth, steepest

RATES = np.geomspace(1e-7, 10, 100)


def losses(*, fall: float, noise: float, seed: int = 0) -> list[float]:
    """Flat, a fall centred at 1e-3 a decade wide, an explosion from 0.1 on."""
    depth = fall / (1 + np.exp(-6 * (np.log10(RATES) + 3)))
    blown = 20 * np.clip(np.log10(RATES) + 1, 0, None)
    return list(4.6 - depth + blown + noise * np.random.default_rng(seed).standard_normal(len(RATES)))


@pytest.mark.parametrize("noise", [0.0, 0.05, 0.2])
def test_the_middle_of_a_fall_is_found(noise: float):
    found = steepest(RATES, losses(fall=2.0, noise=noise))
    assert found is not None
    assert abs(math.log10(found) + 3) < 0.35


def test_a_later_steeper_descent_from_the_explosion_does_not_count():
    values = losses(fall=2.0, noise=0.05)
    values[97:] = [9.0, 6.0, 4.7]
    assert steepest(RATES, values) == pytest.approx(1e-3, rel=0.5)


def test_noise_alone_gives_no_rate():
    found = [steepest(RATES, losses(fall=0.0, noise=0.3, seed=seed)) for seed in range(200)]
    assert sum(rate is not None for rate in found) <= 3


def test_a_loss_that_only_rises_gives_no_rate():
    assert steepest(RATES, list(np.linspace(0.2, 5, 100))) is None


@pytest.mark.parametrize("steps", [0, 1, 5])
def test_too_few_steps_give_no_rate(steps: int):
    assert steepest(RATES[:steps], [4.0, 3.0, 2.0, 1.0, 0.5][:steps]) is None


def test_the_smooth_curve_lies_where_the_losses_do():
    values = losses(fall=2.0, noise=0.0)
    assert np.abs(smooth(values)[10:70] - values[10:70]).max() < 0.15
    assert smooth([2.0] * 30).tolist() == pytest.approx([2.0] * 30)
