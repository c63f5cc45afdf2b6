"""Draws one photograph of a species and says where the bird's parts are in it."""

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from finegrain.data.base import Box
from finegrain.data.birds.anatomy import draw_bird
from finegrain.data.birds.canvas import Canvas
from finegrain.data.birds.light import expose, light_up, place, shadow
from finegrain.data.birds.pose import CODE, body_outline, random_pose
from finegrain.data.birds.scenery import backdrop, draw_foreground, draw_perch
from finegrain.data.birds.species import PARTS, Part, Species


@dataclass(frozen=True, kw_only=True, slots=True)
class Rendered:
    """One drawn photograph and where the bird's parts are in it."""

    pixels: NDArray[np.uint8]
    """RGB, uint8 [S, S, 3]."""
    parts: dict[Part, Box]
    """The visible extent of each part in pixels; a part that is out of frame or covered is absent."""


def render(species: Species, index: int, *, seed: int = 0, size: int = 96, scene: str | None = None) -> Rendered:
    """Draw photograph `index` of a species.

    Args:
        species: A member of `catalogue("source")` or `catalogue("target")`.
        index: Which photograph, from 0.
        seed: The dataset's seed.
        size: Side in pixels.
        scene: Name of the species whose pose, backdrop and light to use instead of its own, which shows what
            the photograph would be if only the species were another.
    """
    name = zlib.crc32((scene or species.name).encode())
    pose_rng, scenery_rng = (np.random.default_rng((seed, name, index, stage)) for stage in range(2))
    pose = random_pose(pose_rng, species.build)
    behind, bird, before = (Canvas(size) for _ in range(3))
    draw_perch(behind, scenery_rng, pose.perch)
    draw_bird(bird, species, pose)
    draw_foreground(before, scenery_rng)
    bird.hidden_by(before)

    picture = backdrop(scenery_rng, size)
    perch, feathers, leaves = (canvas.layer() for canvas in (behind, bird, before))
    light_up(feathers, body_outline(species.build, pose), scenery_rng)
    shadow(perch, feathers)
    shadow(feathers, leaves)
    for layer in (perch, feathers, leaves):
        place(picture, layer)
    boxes = {part: bird.box(CODE[part]) for part in PARTS}
    return Rendered(
        pixels=expose(picture, scenery_rng),
        parts={part: box for part, box in boxes.items() if box is not None},
    )
