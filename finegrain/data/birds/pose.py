"""How a bird stands: its body's and head's coordinate systems, its outline, and random stances."""

import math
from dataclasses import dataclass

import numpy as np

from finegrain.data.birds.canvas import Frame, Points, closed_curve
from finegrain.data.birds.species import PARTS, Build

CODE = {part: code for code, part in enumerate(PARTS, start=1)}
"""What `Canvas.parts` holds for each part."""

# Nape to chin in the head's system; throat over belly and tail to the shoulder in the body's.
HEAD = ((-1.08, 0.50), (-0.88, -0.35), (-0.40, -0.88), (0.25, -0.95), (0.78, -0.58), (0.97, -0.04), (0.80, 0.55))
BODY = (
    (0.46, 0.01), (0.43, 0.14), (0.25, 0.27), (-0.03, 0.29), (-0.30, 0.19), (-0.50, 0.06),
    (-0.55, -0.03), (-0.42, -0.11), (-0.18, -0.20), (0.02, -0.26),
)  # fmt: skip
STEPS = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Pose:
    """How one bird stands in one picture; nothing in it depends on the traits."""

    body: Frame
    """The body's coordinate system: x to the tip of the beak, y to the feet, unit one body length."""
    head: float
    """Turn of the head in radians, positive looks down."""
    reach: float
    """Stretch of the neck in body lengths."""
    wing: float
    """Droop of the wing in radians."""
    tail: float
    """Turn of the tail in radians, positive raises it."""
    fan: float
    """Spread of the tail feathers in radians."""
    perch: Points
    """Where the two feet hold, in the picture, [2, 2]."""


def random_pose(rng: np.random.Generator, build: Build) -> Pose:
    """A random stance; only the genus's body enters, so that its species can share a scene."""
    unit, x, y = rng.uniform((0.42, 0.44, 0.43), (0.66, 0.60, 0.57))
    tilt = -rng.uniform(-0.05, 0.85)  # radians, breast up
    facing, turned = (1 if rng.random() < 0.5 else -1), rng.uniform(0.82, 1.0)  # turned: seen a little from the front
    level = Frame(np.array((x if facing > 0 else 1 - x, y)), np.array(((facing * turned * unit, 0.0), (0.0, unit))))
    body = level.child(0, 0, angle=tilt)
    down = 0.26 * build.plumpness + build.leg * rng.uniform(0.8, 1.1)
    lean, slope = 0.05 * math.sin(tilt), rng.normal(0, 0.12)
    feet = level(((lean - 0.06, down - 0.05 * slope), (lean + 0.06, down + 0.05 * slope)))
    head, wing, tail = rng.normal(0, (0.16, 0.05, 0.14))
    return Pose(
        body=body,
        head=head,
        reach=rng.uniform(-0.01, 0.04),
        wing=wing,
        tail=tail,
        fan=rng.uniform(0.05, 0.22),
        perch=feet,
    )


def head_frame(build: Build, pose: Pose) -> Frame:
    """The head's system: origin at its centre, unit its radius; it looks level whatever the body's tilt."""
    reach = build.neck + pose.reach
    centre = pose.body.child(0.35 + 0.5 * reach, -0.25 - reach)
    tilt = math.atan2(pose.body.axes[0][1], abs(pose.body.axes[0][0]))
    frame = centre.child(0, 0, angle=pose.head - 0.85 * tilt)
    return Frame(frame.origin, frame.axes * build.head)


def body_outline(build: Build, pose: Pose) -> Points:
    """The silhouette of body and head together in the picture, 8 points for each of `HEAD` and then `BODY`."""
    body = np.array(BODY) * (1.0, build.plumpness)
    return closed_curve(np.concatenate((head_frame(build, pose)(HEAD), pose.body(body))))
