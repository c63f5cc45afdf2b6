"""Poses: the head level, the outline free of traits, random stances in the picture."""

import math

import numpy as np
import pytest

from finegrain.data.birds.canvas import Frame
from finegrain.data.birds.pose import BODY, HEAD, STEPS, Pose, body_outline, head_frame, random_pose
from finegrain.data.birds.species import catalogue

BUILDS = {s.genus: s.build for s in catalogue("source") + catalogue("target")}


def stance(tilt: float, facing: int) -> Pose:
    level = Frame(np.array((0.5, 0.5)), np.array(((0.5 * facing, 0.0), (0.0, 0.5))))
    body = level.child(0, 0, angle=tilt)
    return Pose(body=body, head=0.0, reach=0.0, wing=0.0, tail=0.0, fan=0.1, perch=level(((-0.05, 0.4), (0.05, 0.4))))


@pytest.mark.parametrize("facing", [1, -1])
def test_the_head_stays_nearly_level_when_the_body_tilts(facing):
    axis = head_frame(BUILDS["sparrow"], stance(tilt=-0.8, facing=facing)).axes[0]
    assert abs(math.atan2(axis[1], abs(axis[0]))) < 0.15


def test_the_head_is_as_large_as_its_genus_says():
    build = BUILDS["robin"]
    assert np.hypot(*head_frame(build, stance(0.0, 1)).axes[1]) == pytest.approx(0.5 * build.head)


def test_the_outline_passes_through_head_and_body():
    build, pose = BUILDS["chat"], stance(-0.3, -1)
    outline = body_outline(build, pose)
    assert len(outline) == (len(HEAD) + len(BODY)) * STEPS
    np.testing.assert_allclose(outline[: len(HEAD) * STEPS : STEPS], head_frame(build, pose)(HEAD))


def test_a_seed_gives_one_pose():
    first, second = (random_pose(np.random.default_rng(3), BUILDS["robin"]) for _ in range(2))
    np.testing.assert_array_equal(first.body.axes, second.body.axes)
    np.testing.assert_array_equal(first.perch, second.perch)


def test_random_birds_face_both_ways_and_stay_in_the_picture():
    rng = np.random.default_rng(0)
    facing, inside = [], []
    for build in list(BUILDS.values()) * 6:
        pose = random_pose(rng, build)
        outline = body_outline(build, pose)
        facing.append(np.sign(pose.body.axes[0, 0]))
        inside.append(((outline > 0) & (outline < 1)).mean())
        assert pose.perch[:, 1].min() > pose.body.origin[1]
    assert 0.35 < np.mean(np.array(facing) > 0) < 0.65
    assert np.mean(inside) > 0.99
