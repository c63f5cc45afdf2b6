"""Curves, frames and the canvas against known geometry."""

import math

import numpy as np
import pytest

from finegrain.data.birds.canvas import Canvas, Frame, blend, closed_curve, ellipse, leaf, open_curve, tone

RED = (200, 0, 0)
SQUARE = np.array(((0.25, 0.25), (0.75, 0.25), (0.75, 0.75), (0.25, 0.75)))


def whole(scale: float = 1.0) -> Frame:
    return Frame(np.array((0.5, 0.5)), np.eye(2) * scale)


def test_closed_curve_passes_through_its_controls():
    controls = np.random.default_rng(0).normal(size=(7, 2))
    np.testing.assert_allclose(closed_curve(controls, steps=5)[::5], controls, atol=1e-12)


def test_open_curve_runs_from_first_to_last_through_all_controls():
    controls = np.random.default_rng(1).normal(size=(5, 2))
    np.testing.assert_allclose(open_curve(controls, steps=4)[::4], controls, atol=1e-12)


def test_curve_through_points_of_a_line_is_that_line():
    curve = open_curve(np.stack((np.arange(5.0), 2 * np.arange(5.0)), axis=1))
    np.testing.assert_allclose(curve[:, 1], 2 * curve[:, 0], atol=1e-12)


def test_leaf_runs_between_base_and_tip_at_most_as_wide_as_said():
    outline = leaf((1.0, 2.0), (1.0, 5.0), 0.8)
    np.testing.assert_allclose(outline[0], (1, 2), atol=1e-6)
    assert outline[:, 1].max() == pytest.approx(5.0)
    assert 0.7 < np.ptp(outline[:, 0]) <= 0.8


def test_ellipse_has_its_radii():
    outline = ellipse(0.5, 0.5, 0.2, 0.1)
    np.testing.assert_allclose(((outline - 0.5) / (0.2, 0.1)) ** 2 @ np.ones(2), 1.0)


def test_child_frame_moves_and_turns():
    child = whole(0.5).child(1.0, 0.0, angle=math.pi / 2)
    np.testing.assert_allclose(child((1.0, 0.0)), (1.0, 1.0), atol=1e-12)
    assert child.scale == pytest.approx(0.5)


def test_mirrored_frame_keeps_its_scale():
    mirrored = Frame(np.array((0.5, 0.5)), np.array(((-0.4, 0.0), (0.0, 0.4))))
    np.testing.assert_allclose(mirrored((1.0, 0.0)), (0.1, 0.5))
    assert mirrored.child(0, 0, angle=0.3).scale == pytest.approx(0.4)


def test_fill_covers_the_outline_and_gives_its_box():
    canvas = Canvas(32)
    canvas.fill(SQUARE, RED, part=3)
    layer = canvas.layer()
    assert layer.shape == (32, 32, 4)
    np.testing.assert_array_equal(layer[16, 16], (200, 0, 0, 255))
    np.testing.assert_array_equal(layer[2, 2], 0)
    assert canvas.box(3) == pytest.approx((8, 8, 24, 24), abs=0.5)
    assert canvas.box(4) is None


def test_colours_are_multiplied_by_coverage_at_an_edge():
    canvas = Canvas(32)
    canvas.fill(SQUARE + 0.5 / 32, RED)
    r, _, _, coverage = canvas.layer()[16, 8]
    assert 0 < coverage < 255
    assert r == pytest.approx(200 * coverage / 255, abs=1)


def test_paint_over_a_part_takes_its_place():
    canvas = Canvas(32)
    canvas.fill(SQUARE, RED, part=3)
    canvas.fill(SQUARE * (0.5, 1.0), RED, part=0)
    left = canvas.box(3)[0]
    assert left == pytest.approx(12, abs=0.5)


def test_mark_changes_parts_and_no_paint():
    canvas = Canvas(32)
    canvas.mark(SQUARE, 2)
    assert canvas.box(2) is not None
    assert not canvas.paint.any()


def test_stroke_without_part_leaves_parts():
    canvas = Canvas(32)
    canvas.fill(SQUARE, RED, part=3)
    canvas.stroke(SQUARE[:2], (0, 0, 0), 0.05)
    assert canvas.box(3) == pytest.approx((8, 8, 24, 24), abs=0.5)


def test_hidden_parts_are_forgotten():
    canvas, front = Canvas(32), Canvas(32)
    canvas.fill(SQUARE, RED, part=1)
    front.fill(SQUARE, RED)
    canvas.hidden_by(front)
    assert canvas.box(1) is None


def test_blend_and_tone_stay_colours():
    assert blend((0, 100, 200), (100, 100, 0), 0.5) == (50, 100, 100)
    assert blend((0, 0, 250), (0, 0, 255), 9.0) == (0, 0, 255)
    assert tone((100, 200, 0), 2.0) == (200, 255, 0)
