"""Light: layers composed by coverage, shadows below, round bodies, pixels in range."""

import numpy as np
import pytest

from finegrain.data.birds.canvas import ellipse
from finegrain.data.birds.light import expose, light_up, place, shadow


def flat(value: float, channels: int = 3, size: int = 48) -> np.ndarray:
    return np.full((size, size, channels), value, np.float32)


def test_place_is_alpha_composition():
    picture, layer = flat(100.0), flat(0.0, channels=4)
    layer[:24] = (30, 60, 90, 127.5)  # half covered, colours already multiplied
    place(picture, layer)
    np.testing.assert_allclose(picture[0, 0], (80, 110, 140))
    np.testing.assert_allclose(picture[-1, -1], 100)


def test_shadow_falls_below_and_darkens_colour_alone():
    below, above = flat(200.0, channels=4), flat(0.0, channels=4)
    above[10:20, 10:20, 3] = 255
    shadow(below, above, strength=0.5)
    assert (below[..., 3] == 200).all()
    assert below[15, 15, 0] == pytest.approx(100, abs=8)
    assert below[20, 15, 0] < below[9, 15, 0]
    assert below[40, 40, 0] == 200


def test_light_makes_the_top_brighter_than_the_underside():
    bird = flat(100.0, channels=4, size=96)
    light_up(bird, ellipse(0.5, 0.5, 0.3, 0.2), np.random.default_rng(3))
    assert bird[32:40, 40:56, 0].mean() > bird[56:64, 40:56, 0].mean() + 10
    np.testing.assert_array_equal(bird[..., 3], 100)


@pytest.mark.parametrize("size", [32, 96, 300])
def test_expose_gives_pixels_of_the_same_size(size):
    pixels = expose(flat(120.0, size=size), np.random.default_rng(0))
    assert pixels.dtype == np.uint8
    assert pixels.shape == (size, size, 3)
    assert 40 < pixels.mean() < 200
