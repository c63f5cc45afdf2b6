"""Measures of maps, by hand."""

import numpy as np
import pytest

from finegrain.metrics.explanations import (
    energy_inside,
    hottest_point,
    perturbation_area,
    points_inside,
    rank_correlation,
)


def heat(*rows: list[float]) -> np.ndarray:
    return np.array(rows, np.float32)


def test_the_hottest_point_of_a_flat_top_is_its_middle():
    assert hottest_point(heat([0, 1, 0], [0, 0, 3])) == (1, 2)
    flat = np.zeros((9, 9), np.float32)
    flat[0:3, 0:5] = 1
    assert hottest_point(flat) == (1, 2)
    corners = np.zeros((5, 5), np.float32)
    corners[0, 0] = corners[4, 3] = 1
    assert hottest_point(corners) in ((0, 0), (4, 3))  # a hottest pixel, never one between


def test_the_pointing_game_asks_for_the_hottest_point_alone():
    mask = np.array([[False, True], [False, False]])
    assert points_inside(heat([0.8, 0.9], [0.8, 0.8]), mask)
    assert not points_inside(heat([0.8, 0.9], [1.0, 0.8]), mask)


def test_energy_is_the_share_of_heat():
    mask = np.array([[False, True], [False, True]])
    assert energy_inside(heat([1, 2], [3, 4]), mask) == pytest.approx(0.6)
    assert energy_inside(np.zeros((2, 2), np.float32), mask) == 0.5


def test_deletion_by_hand():
    """The score is the sum of what is left: 1 + 2 + 3 + 4, of which the hottest go first."""
    image = heat([1, 2], [3, 4])[None]
    calls = []

    def score(images: np.ndarray) -> np.ndarray:
        calls.append(images.shape)
        return images.sum(axis=(1, 2, 3)).astype(np.float64)

    def area(order: np.ndarray, steps: int = 4) -> float:
        return perturbation_area(score, image, np.zeros_like(image), order, steps=steps)

    assert area(image[0]) == pytest.approx((10 / 2 + 6 + 3 + 1 + 0) / 4)
    assert area(-image[0]) == pytest.approx((10 / 2 + 9 + 7 + 4 + 0) / 4)
    assert area(image[0], steps=2) == pytest.approx((10 / 2 + 3 + 0) / 2)
    assert calls[0] == (5, 1, 2, 2)


def test_insertion_is_deletion_from_the_other_end():
    image = heat([1, 2], [3, 4])[None]

    def score(images: np.ndarray) -> np.ndarray:
        return images.sum(axis=(1, 2, 3)).astype(np.float64)

    assert perturbation_area(score, 0 * image, image, image[0], steps=4) == pytest.approx((4 + 7 + 9 + 10 / 2) / 4)


def test_rank_correlation_ignores_scale_and_knows_the_opposite():
    values = heat([1, 2, 3], [4, 5, 6])
    assert rank_correlation(values, np.exp(values)) == pytest.approx(1)
    assert rank_correlation(values, -values) == pytest.approx(-1)
    assert rank_correlation(values, np.ones_like(values)) == 0
