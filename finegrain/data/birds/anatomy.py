"""Draws one bird in side view: body, tail, wing, head and feet, each trait inside its own part."""

import math

import numpy as np

from finegrain.data.birds.canvas import (
    Canvas,
    Frame,
    Point,
    Points,
    blend,
    closed_curve,
    ellipse,
    leaf,
    open_curve,
    tone,
)
from finegrain.data.birds.head import draw_beak, draw_crest, draw_crown, draw_face, draw_throat
from finegrain.data.birds.pose import CODE, HEAD, STEPS, Pose, body_outline, head_frame
from finegrain.data.birds.species import Colour, Species


def draw_bird(canvas: Canvas, species: Species, pose: Pose) -> None:
    """Draw `species` in `pose`, from what lies behind to what lies in front."""
    head = head_frame(species.build, pose)
    outline = body_outline(species.build, pose)
    _draw_tail(canvas, species, pose)
    _draw_legs(canvas, species, pose)
    draw_crest(canvas, species, head)
    draw_beak(canvas, species, head)
    _draw_body(canvas, species, pose, outline)
    _draw_breast(canvas, species, pose, outline)
    draw_throat(canvas, species, head, outline)
    _draw_wing(canvas, species, pose)
    draw_crown(canvas, species, head, outline)
    draw_face(canvas, species, head)


def _draw_body(canvas: Canvas, species: Species, pose: Pose, outline: Points) -> None:
    """Back and belly, with the border between them blended over five steps."""
    plumage = species.plumage
    canvas.fill(outline, plumage.back)
    chin, vent = (len(HEAD) - 1) * STEPS, (len(HEAD) + 5) * STEPS
    under = outline[chin : vent + 1]
    upper = ((-0.30, 0.03), (-0.05, 0.02), (0.18, -0.02), (0.36, -0.10))
    for share in (0.2, 0.4, 0.6, 0.8, 1.0):
        edge = pose.body(np.add(upper, (0, 0.10 * share)))
        canvas.fill(np.concatenate((under, edge)), blend(plumage.back, plumage.belly, share))
    vent_line = outline[(len(HEAD) + 3) * STEPS : vent + 1]
    canvas.fill(np.concatenate((vent_line, pose.body(((-0.36, 0.10), (-0.12, 0.20))))), tone(plumage.belly, 0.93))


def _draw_breast(canvas: Canvas, species: Species, pose: Pose, outline: Points) -> None:
    part, plumage, body = CODE["breast"], species.plumage, pose.body
    squash = species.build.plumpness
    canvas.mark(body(closed_curve(np.array(_BREAST) * (1.0, squash))), part)
    match species.traits.breast:
        case "spotted":
            for x, y in _SPECKS:
                canvas.fill(body(ellipse(x, y * squash, 0.021, 0.026)), plumage.dark, part)
        case "streaked":
            for x, y in _SPECKS:
                start = (x + 0.012, y * squash - 0.045)
                canvas.fill(body(leaf(start, np.add(start, (-0.035, 0.105)), 0.026)), plumage.dark, part)
        case "banded":
            front = outline[len(HEAD) * STEPS + 3 : (len(HEAD) + 1) * STEPS + 2]
            band = open_curve(np.array(((0.36, 0.16), (0.26, 0.09), (0.22, 0.0), (0.27, -0.03), (0.36, 0.04))))
            canvas.fill(np.concatenate((front, body(band * (1.0, squash)))), plumage.accent, part)
        case "plain":
            pass


_BREAST = ((0.43, 0.04), (0.41, 0.15), (0.24, 0.25), (0.04, 0.255), (0.06, 0.14), (0.28, -0.02))
_SPECKS = (
    (0.40, 0.055), (0.33, 0.045), (0.385, 0.125), (0.30, 0.11), (0.23, 0.125), (0.335, 0.18), (0.25, 0.19),
    (0.165, 0.16), (0.18, 0.235), (0.10, 0.205), (0.265, 0.04),
)  # fmt: skip


def _draw_tail(canvas: Canvas, species: Species, pose: Pose) -> None:
    part, plumage, trait = CODE["tail"], species.plumage, species.traits.tail
    root = pose.body.child(-0.46, -0.02, angle=pose.tail)
    length = 0.62 if trait == "long" else 0.40
    for i in range(_TAIL_FEATHERS):
        side = 2 * i / (_TAIL_FEATHERS - 1) - 1  # -1 lowest feather, 1 highest
        reach = length * (0.78 + 0.34 * abs(side) if trait == "forked" else 1.0 - 0.06 * side**2)
        angle = (pose.fan + (0.16 if trait == "forked" else 0.0)) * side
        tip = np.array((-math.cos(angle), -math.sin(angle))) * reach
        edge = trait == "edged" and abs(side) == 1
        colour = plumage.pale if edge else tone(plumage.wing, 0.86 + 0.10 * (i % 2) + 0.06 * side)
        start = np.array((0.0, -0.03 * side))
        feather = leaf(start, start + tip, 0.105, 0.62)
        canvas.fill(root(feather), colour, part)
        if trait == "tipped":
            canvas.fill(root(leaf(start + 0.74 * tip, start + 1.01 * tip, 0.098)), plumage.pale, part)
        canvas.stroke(root((start, start + 0.93 * tip)), tone(colour, 0.78), 0.008 * root.scale)


_TAIL_FEATHERS = 5


def _draw_wing(canvas: Canvas, species: Species, pose: Pose) -> None:
    """Feathers in rows like tiles: primaries and secondaries first, the coverts with their bars over them."""
    plumage = species.plumage
    wing = pose.body.child(0.25, -0.11, angle=pose.wing)
    dark = tone(plumage.wing, 0.80)
    canvas.fill(wing(closed_curve(_WING)), plumage.wing)
    for i in range(5):  # primaries
        tip = (-0.90 + 0.055 * i, 0.10 + 0.008 * i)
        _feather(canvas, wing, (-0.34, 0.05 + 0.012 * i), tip, 0.062, tone(dark, 0.90 + 0.07 * (i % 2)))
    for i in range(6):  # secondaries
        base, tip = (-0.22, -0.07 + 0.036 * i), (-0.66 + 0.045 * i, 0.0 + 0.034 * i)
        _feather(canvas, wing, base, tip, 0.072, tone(plumage.wing, 0.92 + 0.10 * (i % 2)))
    _draw_wing_bars(canvas, species, wing)


def _draw_wing_bars(canvas: Canvas, species: Species, wing: Frame) -> None:
    part, plumage, trait = CODE["wing_bar"], species.plumage, species.traits.wing_bar
    canvas.mark(wing(closed_curve(_COVERTS)), part)
    if trait == "patch":
        canvas.fill(wing(closed_curve(_PATCH)), plumage.pale, part)
        for y in (0.035, 0.075, 0.115):
            canvas.stroke(wing(((-0.34, y), (-0.53, y + 0.012))), plumage.wing, 0.010 * wing.scale)
    for row, (x, length) in enumerate(((-0.12, 0.24), (-0.01, 0.19))):
        colour = blend(plumage.wing, plumage.back, 0.25 + 0.4 * row)
        tipped = trait == "double" or (trait == "single" and row == 0)
        for i in range(6):
            slant = 0.05 - 0.009 * (i - 2) ** 2
            base, tip = np.array((x, -0.075 + 0.037 * i)), np.array((x - length - slant, -0.055 + 0.041 * i))
            _feather(canvas, wing, base, tip, 0.066, tone(colour, 0.94 + 0.10 * (i % 2)), part)
            if tipped:
                canvas.fill(wing(leaf(base + 0.68 * (tip - base), tip, 0.060)), plumage.pale, part)
    mantle = ((0.07, -0.02), (0.02, -0.11), (-0.10, -0.13), (-0.13, -0.07), (-0.09, 0.02), (-0.08, 0.12), (0.0, 0.11))
    canvas.fill(wing(closed_curve(mantle)), blend(plumage.wing, plumage.back, 0.8))


_WING = (
    (0.05, -0.03),
    (-0.05, -0.12),
    (-0.32, -0.12),
    (-0.66, -0.01),
    (-0.78, 0.09),
    (-0.55, 0.19),
    (-0.25, 0.21),
    (-0.02, 0.14),
)
_COVERTS = ((-0.06, -0.10), (-0.24, -0.10), (-0.38, -0.06), (-0.42, 0.04), (-0.36, 0.17), (-0.20, 0.18), (-0.07, 0.13))
_PATCH = ((-0.32, 0.0), (-0.48, 0.02), (-0.56, 0.07), (-0.50, 0.14), (-0.33, 0.15))


def _feather(
    canvas: Canvas, frame: Frame, base: Point, tip: Point, width: float, colour: Colour, part: int = 0
) -> None:
    """A feather with a dark lower edge, so that a row of them reads as overlapping tiles."""
    outline = frame(leaf(base, tip, width, 0.62))
    canvas.fill(outline, colour, part)
    canvas.stroke(outline[len(outline) // 2 :], tone(colour, 0.66), 0.009 * frame.scale)


def _draw_legs(canvas: Canvas, species: Species, pose: Pose) -> None:
    colour, unit = species.plumage.leg, pose.body.scale
    hips = pose.body(((-0.06, 0.20), (0.06, 0.20)))
    across = np.array((np.sign(pose.body.axes[0][0]), 0.0)) * unit
    for hip, foot, bright in zip(hips, pose.perch, (0.75, 1.0), strict=True):
        shade = tone(colour, bright)
        knee = 0.45 * hip + 0.55 * foot - 0.035 * across
        canvas.stroke(open_curve((hip, knee, foot)), shade, 0.026 * unit)
        for ahead in (0.085, 0.045, -0.06):
            toe = (foot, foot + ahead * 0.6 * across + (0, -0.004 * unit), foot + ahead * across + (0, 0.022 * unit))
            canvas.stroke(open_curve(toe), shade, 0.022 * unit)
