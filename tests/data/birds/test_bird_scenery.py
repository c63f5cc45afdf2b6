"""Scenery: repeatable, varied, under the feet, and seldom in the way."""

import numpy as np
import pytest

from finegrain.data.birds.canvas import Canvas
from finegrain.data.birds.scenery import backdrop, draw_foreground, draw_perch


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("size", [32, 96, 200])
def test_backdrop_has_the_asked_size_and_repeats(size):
    first, second = backdrop(generator(), size), backdrop(generator(), size)
    assert first.shape == (size, size, 3)
    np.testing.assert_array_equal(first, second)
    assert np.abs(first - backdrop(generator(1), size)).mean() > 1


def test_backdrops_differ_widely():
    means = np.array([backdrop(generator(seed), 32).mean(axis=(0, 1)) for seed in range(30)])
    assert (means.std(axis=0) > 20).all()


def test_the_perch_is_under_both_feet():
    feet = np.array(((0.45, 0.70), (0.55, 0.72)))
    for seed in range(20):
        canvas = Canvas(96)
        draw_perch(canvas, generator(seed), feet)
        coverage = canvas.layer()[..., 3]
        for x, y in feet:
            row, column = int(96 * y), int(96 * x)
            assert coverage[row - 4 : row + 8, column].max() > 100, seed


def test_the_foreground_is_often_empty_and_never_covers_most():
    shares = []
    for seed in range(40):
        canvas = Canvas(48)
        draw_foreground(canvas, generator(seed))
        shares.append((canvas.paint[..., 3] > 0).mean())
    assert 5 < sum(share == 0 for share in shares) < 35
    assert max(shares) < 0.3
