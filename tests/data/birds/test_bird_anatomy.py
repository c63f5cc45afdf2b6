"""The drawn bird: each trait paints inside its own part, in any pose."""

import dataclasses
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest

from finegrain.data.birds.anatomy import draw_bird
from finegrain.data.birds.canvas import Canvas, Frame
from finegrain.data.birds.pose import CODE, Pose
from finegrain.data.birds.species import PARTS, Species, Traits, catalogue

VALUES = {part: get_args(hint) for part, hint in get_type_hints(Traits).items()}
PLAIN = {part: values[0] for part, values in VALUES.items()}
CASES = [(part, value) for part, values in VALUES.items() for value in values[1:]]


def bird(**traits: Any) -> Species:
    return dataclasses.replace(catalogue("target")[0], traits=Traits(**(PLAIN | traits)))


def stance(tilt: float = 0.0, facing: int = 1, **changes: Any) -> Pose:
    level = Frame(np.array((0.5, 0.5)), np.array(((0.5 * facing, 0.0), (0.0, 0.5))))
    still: dict[str, Any] = {"head": 0.0, "reach": 0.0, "wing": 0.0, "tail": 0.0, "fan": 0.1}
    perch = level(((-0.05, 0.45), (0.05, 0.45)))
    return Pose(body=level.child(0, 0, angle=tilt), perch=perch, **(still | changes))


def drawn(species: Species, pose: Pose) -> Canvas:
    canvas = Canvas(96)
    draw_bird(canvas, species, pose)
    return canvas


@pytest.mark.parametrize(("part", "value"), CASES)
def test_a_trait_changes_paint_only_where_its_part_is(part, value):
    pose = stance(tilt=-0.4)
    plain, changed = drawn(bird(), pose), drawn(bird(**{part: value}), pose)
    differs = (plain.paint != changed.paint).any(axis=-1)
    within = (plain.parts == CODE[part]) | (changed.parts == CODE[part])
    assert differs.any()
    # the line between mandibles or along a feather's edge may lie a hair outside
    assert (differs & ~within).sum() <= 0.03 * differs.sum()


@pytest.mark.parametrize("facing", [1, -1])
@pytest.mark.parametrize("tilt", [0.1, -0.4, -0.9])
def test_every_part_is_seen_in_every_stance(tilt, facing):
    canvas = drawn(bird(), stance(tilt=tilt, facing=facing))
    assert all(canvas.box(CODE[part]) for part in PARTS)


def test_parts_lie_where_they_do_in_a_bird():
    canvas = drawn(bird(), stance())
    centres = {}
    for part in PARTS:
        left, top, right, bottom = canvas.box(CODE[part])
        centres[part] = ((left + right) / 2, (top + bottom) / 2)
    x = {part: centre[0] for part, centre in centres.items()}
    y = {part: centre[1] for part, centre in centres.items()}
    assert x["tail"] < x["wing_bar"] < x["breast"] < x["eye"] < x["beak"]
    assert y["crown"] < y["eye"] < y["throat"] < y["breast"]


def test_facing_the_other_way_mirrors_the_picture():
    right, left = drawn(bird(), stance()), drawn(bird(), stance(facing=-1))
    differs = (right.paint[..., 3] != left.paint[:, ::-1, 3]).mean()
    assert differs < 0.01


@pytest.mark.parametrize(("long", "short"), [("long", "short"), ("decurved", "stout")])
def test_long_beaks_reach_farther(long, short):
    reach = {value: drawn(bird(beak=value), stance()).box(CODE["beak"])[2] for value in (long, short)}
    assert reach[long] > reach[short] + 3


def test_beaks_curve_as_named():
    depth = {v: drawn(bird(beak=v), stance()).box(CODE["beak"]) for v in ("long", "decurved", "upturned")}
    assert depth["decurved"][3] > depth["long"][3] + 3
    assert depth["upturned"][1] < depth["long"][1] - 1
