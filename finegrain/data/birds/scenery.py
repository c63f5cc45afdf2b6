"""What surrounds a bird and says nothing about its species: backdrop, perch, leaves in front."""

import cv2
import numpy as np

from finegrain.data.birds.canvas import Canvas, Picture, Points, ellipse, leaf, open_curve, tone
from finegrain.data.birds.species import Colour

_GREENS: tuple[Colour, ...] = ((62, 92, 40), (92, 124, 52), (134, 150, 70), (44, 70, 48), (172, 176, 96))
_AUTUMN: tuple[Colour, ...] = ((168, 92, 36), (196, 140, 52), (120, 66, 36), (96, 88, 48), (214, 176, 96))
_BLOSSOM: tuple[Colour, ...] = ((226, 178, 190), (240, 214, 216), (150, 160, 110), (110, 126, 90), (198, 150, 168))
_DRY: tuple[Colour, ...] = ((190, 168, 118), (160, 136, 92), (210, 194, 150), (122, 108, 76), (142, 146, 108))
_WATER: tuple[Colour, ...] = ((96, 124, 140), (72, 100, 118), (140, 164, 172), (58, 82, 90), (176, 190, 188))
_DUSK: tuple[Colour, ...] = ((206, 128, 96), (150, 96, 112), (92, 78, 110), (226, 172, 124), (70, 60, 84))
_SKY: tuple[Colour, ...] = ((126, 164, 204), (164, 192, 218), (204, 216, 226), (184, 200, 206), (224, 226, 222))
_MOODS = (_GREENS, _AUTUMN, _BLOSSOM, _DRY, _WATER, _DUSK, _SKY)
_WOOD: tuple[Colour, ...] = ((96, 76, 60), (122, 104, 88), (74, 62, 54), (140, 122, 98))


def backdrop(rng: np.random.Generator, size: int) -> Picture:
    """A scene out of focus: a vertical gradient, clouds of colour, discs or stems of light, blurred."""
    mood = _MOODS[int(rng.integers(len(_MOODS)))]
    top, bottom = (np.array(mood[i], np.float32) for i in rng.choice(len(mood), size=2, replace=False))
    ramp = np.linspace(0, 1, _COARSE, dtype=np.float32)[:, None, None]
    coarse = np.broadcast_to(top * (1 - ramp) + bottom * ramp, (_COARSE, _COARSE, 3)).copy()
    clouds = rng.normal(0, rng.uniform(6, 26), (6, 6, 1)).astype(np.float32)
    coarse += cv2.resize(clouds, (_COARSE, _COARSE), interpolation=cv2.INTER_CUBIC)[..., None]
    (_discs, _stems, _boughs)[int(rng.integers(3))](rng, coarse, mood)
    blurred = cv2.GaussianBlur(coarse, (0, 0), float(rng.uniform(0.6, 3.0)))
    picture: Picture = cv2.resize(blurred, (size, size), interpolation=cv2.INTER_CUBIC)
    return picture


_COARSE = 64


def _discs(rng: np.random.Generator, coarse: Picture, mood: tuple[Colour, ...]) -> None:
    """Bokeh: discs of light, each mixed half into what is below."""
    for x, y, radius in rng.uniform((0, 0, 2), (_COARSE, _COARSE, 9), (int(rng.integers(8, 26)), 3)):
        colour = tone(mood[int(rng.integers(len(mood)))], rng.uniform(0.7, 1.4))
        overlay = coarse.copy()
        cv2.circle(overlay, (int(x), int(y)), int(radius), colour, -1, cv2.LINE_AA)
        cv2.addWeighted(overlay, 0.5, coarse, 0.5, 0, coarse)


def _stems(rng: np.random.Generator, coarse: Picture, mood: tuple[Colour, ...]) -> None:
    """Reeds and grass: many thin upright strokes."""
    lean = rng.normal(0, 6)
    for x, sway, height in rng.normal((0, lean, 0.2), (1, 4, 0.35), (int(rng.integers(10, 28)), 3)):
        foot = (int(rng.uniform(0, _COARSE)), _COARSE)
        head = (int(foot[0] + sway + x), int(_COARSE * height))
        colour = tone(mood[int(rng.integers(len(mood)))], rng.uniform(0.6, 1.25))
        cv2.line(coarse, foot, head, colour, int(rng.integers(1, 4)), cv2.LINE_AA)


def _boughs(rng: np.random.Generator, coarse: Picture, mood: tuple[Colour, ...]) -> None:
    """Boughs across, with clumps of leaves."""
    for y0, y1 in rng.uniform(0, _COARSE, (int(rng.integers(1, 4)), 2)):
        wood = tone(_WOOD[int(rng.integers(len(_WOOD)))], rng.uniform(0.6, 1.2))
        cv2.line(coarse, (0, int(y0)), (_COARSE, int(y1)), wood, int(rng.integers(2, 6)), cv2.LINE_AA)
    for x, y, length, angle in rng.uniform((0, 0, 2, 0), (_COARSE, _COARSE, 7, 180), (int(rng.integers(15, 45)), 4)):
        colour = tone(mood[int(rng.integers(len(mood)))], rng.uniform(0.6, 1.3))
        axes = (int(length), max(1, int(length / 2)))
        cv2.ellipse(coarse, (int(x), int(y)), axes, float(angle), 0, 360, colour, -1, cv2.LINE_AA)


def draw_perch(canvas: Canvas, rng: np.random.Generator, feet: Points) -> None:
    """What the bird stands on, through both feet: a branch with twigs and leaves, a rail, or rough ground."""
    slope = (feet[1] - feet[0]) / (abs(feet[1, 0] - feet[0, 0]) + 1e-9)
    middle, along = feet.mean(axis=0), np.array((1.0, slope[1]))
    wood = tone(_WOOD[int(rng.integers(len(_WOOD)))], rng.uniform(0.75, 1.2))
    kind = rng.random()
    if kind < 0.7:
        _branch(canvas, rng, middle, along, wood)
    elif kind < 0.85:
        _rail(canvas, rng, middle, along, wood)
    else:
        _ground(canvas, rng, middle, along)


def _branch(canvas: Canvas, rng: np.random.Generator, middle: Points, along: Points, wood: Colour) -> None:
    width = rng.uniform(0.035, 0.07)
    reach = np.array((-1.0, -0.55, -0.2, 0.0, 0.2, 0.55, 1.0))
    bend = rng.normal(0, 0.04, 7) * (1, 1, 0, 0, 0, 1, 1)
    spine = middle + reach[:, None] * along + np.stack((0 * bend, bend + 0.4 * width), axis=1)
    for _ in range(int(rng.integers(1, 5))):
        base = spine[int(rng.integers(len(spine)))] + rng.normal(0, 0.05) * along
        end = base + rng.normal((0, 0), (0.14, 0.22))
        canvas.stroke(
            open_curve((base, (base + end) / 2 + rng.normal(0, 0.03, 2), end)), tone(wood, 0.85), width * 0.35
        )
        for _ in range(int(rng.integers(0, 4))):
            _leaf(canvas, rng, base + rng.uniform(0.3, 1.0) * (end - base), rng.uniform(0.06, 0.14))
    for lift, bright, share in ((0.0, 0.62, 1.0), (-0.10, 0.85, 0.74), (-0.20, 1.05, 0.44), (-0.27, 1.22, 0.18)):
        canvas.stroke(open_curve(np.add(spine, (0, lift * width))), tone(wood, bright), width * share)
    for _ in range(10):  # bark
        at = middle + rng.uniform(-0.22, 0.22) * along + (0, rng.uniform(0.1, 0.8) * width)
        canvas.stroke(np.stack((at, at + rng.uniform(0.01, 0.04) * along)), tone(wood, 0.5), 0.004)


def _rail(canvas: Canvas, rng: np.random.Generator, middle: Points, along: Points, wood: Colour) -> None:
    """A fence rail or a wire."""
    width = rng.choice((0.008, 0.05, 0.11))
    ends = np.add((middle - along, middle + along), (0, width / 2))
    canvas.stroke(ends, tone(wood, 0.7), width)
    canvas.stroke(ends - (0, 0.22 * width), wood, 0.55 * width)
    canvas.stroke(ends - (0, 0.40 * width), tone(wood, 1.25), 0.12 * width)


def _ground(canvas: Canvas, rng: np.random.Generator, middle: Points, along: Points) -> None:
    """A bank of earth or grass with pebbles and blades."""
    mood = (_GREENS, _DRY, _AUTUMN)[int(rng.integers(3))]
    earth = tone(mood[int(rng.integers(len(mood)))], 0.8)
    x = np.linspace(-1, 1, 14)
    edge = middle + x[:, None] * along + np.stack((0 * x, rng.normal(0, 0.006, 14) + 0.01), axis=1)
    canvas.fill(np.concatenate((edge, ((2.0, 2.0), (-1.0, 2.0)))), earth)
    for dx, dy, radius in rng.uniform((-0.6, 0.03, 0.008), (0.6, 0.3, 0.035), (16, 3)):
        at = middle + dx * along + (0, dy)
        canvas.fill(ellipse(at[0], at[1], radius * 1.4, radius), tone(earth, rng.uniform(0.7, 1.3)))
    for dx, height, lean in rng.uniform((-0.6, 0.02, -0.05), (0.6, 0.12, 0.05), (14, 3)):
        at = middle + dx * along + (0, 0.015)
        blade = mood[int(rng.integers(len(mood)))]
        canvas.fill(leaf(at, np.add(at, (lean, -height)), 0.014, 0.3), tone(blade, rng.uniform(0.8, 1.2)))


def _leaf(canvas: Canvas, rng: np.random.Generator, base: Points, length: float) -> None:
    mood = (_GREENS, _GREENS, _AUTUMN)[int(rng.integers(3))]
    colour = tone(mood[int(rng.integers(len(mood)))], rng.uniform(0.7, 1.25))
    angle = rng.uniform(0, 2 * np.pi)
    tip = base + length * np.array((np.cos(angle), np.sin(angle)))
    outline = leaf(base, tip, 0.45 * length, 0.42)
    canvas.fill(outline, colour)
    canvas.fill(outline[:7], tone(colour, 1.14))
    canvas.stroke(np.stack((base, tip)), tone(colour, 0.72), 0.006)


def draw_foreground(canvas: Canvas, rng: np.random.Generator) -> None:
    """Sprigs and blades that reach in from the edges and may cover some of the bird; often nothing."""
    for _ in range(int(rng.choice((0, 0, 1, 1, 2)))):
        angle = rng.uniform(0, 2 * np.pi)
        edge = np.array((0.5, 0.5)) + 0.72 * np.array((np.cos(angle), np.sin(angle)))
        end = edge + rng.uniform(0.3, 0.62) * (np.array((0.5, 0.5)) - edge) + rng.normal(0, 0.12, 2)
        if rng.random() < 0.4:
            canvas.fill(leaf(edge, end, rng.uniform(0.015, 0.04), 0.35), tone(_GREENS[int(rng.integers(5))], 0.9))
            continue
        canvas.stroke(np.stack((edge, end)), _WOOD[int(rng.integers(len(_WOOD)))], 0.011)
        for share in rng.uniform(0.25, 1.0, int(rng.integers(2, 6))):
            _leaf(canvas, rng, edge + share * (end - edge), rng.uniform(0.07, 0.17))
