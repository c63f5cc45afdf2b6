"""Paint for drawing: smooth curves, local coordinate systems, and a supersampled canvas that knows what it painted."""

import functools
import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from finegrain.data.birds.species import Colour

Points = NDArray[np.float64]
"""Points [N, 2] as (x, y), y down."""
Point = tuple[float, float] | Points
"""One point (x, y)."""

Picture = NDArray[np.float32]
"""float32 [S, S, 3] RGB, or [S, S, 4] with coverage and colours multiplied by it; 0 to 255."""

_SUBPIXEL_BITS = 4  # OpenCV takes polygon corners in fixed point
SUPERSAMPLING = 4
"""Fine pixels along each side of a pixel: two halvings, each far quicker than one step of any other ratio."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A local coordinate system inside a picture whose sides are 1: calling it maps [N, 2] points to the picture."""

    origin: Points
    axes: Points
    """Rows are the pictures of the local x and y unit vectors, [2, 2]."""

    def __call__(self, points: ArrayLike) -> Points:
        """The picture of local points, [N, 2] or [2]."""
        placed: Points = np.asarray(points, dtype=np.float64) @ self.axes + self.origin
        return placed

    def child(self, x: float, y: float, *, angle: float = 0.0) -> "Frame":
        """The system at (x, y) of this one, turned by `angle` radians (from x towards y)."""
        cos, sin = math.cos(angle), math.sin(angle)
        return Frame(self((x, y)), np.array(((cos, sin), (-sin, cos))) @ self.axes)

    @property
    def scale(self) -> float:
        """Length in the picture of the local y unit vector."""
        return float(np.hypot(*self.axes[1]))


class Canvas:
    """A transparent RGBA picture drawn at several times its size, with the part that each fine pixel belongs to.

    Attributes:
        paint: uint8 [n, n, 4], RGB and coverage.
        parts: uint8 [n, n], the code of the part last painted there; 0 is no part.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        side = size * SUPERSAMPLING
        self.paint: NDArray[np.uint8] = np.zeros((side, side, 4), np.uint8)
        self.parts: NDArray[np.uint8] = np.zeros((side, side), np.uint8)

    def fill(self, outline: Points, colour: Colour, part: int = 0) -> None:
        """Fill a closed outline and note its part."""
        corners = [self._corners(outline)]
        cv2.fillPoly(self.paint, corners, (*colour, 255), cv2.LINE_8, _SUBPIXEL_BITS)
        cv2.fillPoly(self.parts, corners, (part,), cv2.LINE_8, _SUBPIXEL_BITS)

    def mark(self, outline: Points, part: int) -> None:
        """Note that what is painted inside the outline belongs to `part`, without painting."""
        cv2.fillPoly(self.parts, [self._corners(outline)], (part,), cv2.LINE_8, _SUBPIXEL_BITS)

    def stroke(self, line: Points, colour: Colour, width: float, part: int | None = None) -> None:
        """Draw an open line of a width in picture sides; without a part it leaves the noted parts alone."""
        corners, thickness = [self._corners(line)], max(1, round(width * len(self.paint)))
        cv2.polylines(self.paint, corners, False, (*colour, 255), thickness, cv2.LINE_8, _SUBPIXEL_BITS)
        if part is not None:
            cv2.polylines(self.parts, corners, False, (part,), thickness, cv2.LINE_8, _SUBPIXEL_BITS)

    def hidden_by(self, front: "Canvas") -> None:
        """Forget the parts that the paint of `front` covers."""
        self.parts[front.paint[..., 3] > 0] = 0

    def layer(self) -> Picture:
        """The picture at its own size, float32 [S, S, 4] in 0 to 255, colours multiplied by coverage."""
        half = cv2.resize(self.paint, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        small = cv2.resize(half, (self.size, self.size), interpolation=cv2.INTER_AREA)
        layer: Picture = small.astype(np.float32)
        return layer

    def box(self, part: int) -> tuple[float, float, float, float] | None:
        """Left, top, right, bottom of the visible extent of `part` in pixels of the picture; None if unseen."""
        x, y, width, height = cv2.boundingRect((self.parts == part).view(np.uint8))
        if not width:
            return None
        left, top, right, bottom = (edge / SUPERSAMPLING for edge in (x, y, x + width, y + height))
        return left, top, right, bottom

    def _corners(self, points: Points) -> NDArray[np.int32]:
        corners: NDArray[np.int32] = (points * (len(self.paint) << _SUBPIXEL_BITS)).astype(np.int32)
        return corners


def closed_curve(controls: ArrayLike, steps: int = 8) -> Points:
    """The closed Catmull-Rom curve through `controls` [N, 2], as [N * steps, 2] points."""
    points = np.asarray(controls, dtype=np.float64)
    curve: Points = _closed_weights(len(points), steps) @ points
    return curve


def open_curve(controls: ArrayLike, steps: int = 6) -> Points:
    """The Catmull-Rom curve through `controls` [N, 2], from the first to the last of them."""
    points = np.asarray(controls, dtype=np.float64)
    extended = np.concatenate((2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]))
    curve: Points = _closed_weights(len(extended), steps)[steps : -2 * steps + 1] @ extended
    return curve


def leaf(base: Point, tip: Point, width: float, bluntness: float = 0.55) -> Points:
    """The outline of a feather or leaf from base to tip, widest at `bluntness` of its length, [14, 2]."""
    x, y = float(base[0]), float(base[1])
    dx, dy = float(tip[0]) - x, float(tip[1]) - y
    half = width / (2 * math.hypot(dx, dy) + 1e-9)
    outline: Points = _leaf_profile(bluntness) @ ((dx, dy), (-half * dy, half * dx)) + (x, y)
    return outline


def ellipse(x: float, y: float, rx: float, ry: float) -> Points:
    """An ellipse with its axes along x and y, [20, 2]."""
    outline: Points = _CIRCLE * (rx, ry) + (x, y)
    return outline


@functools.lru_cache(maxsize=4096)
def blend(first: Colour, second: Colour, share: float) -> Colour:
    """The mix of two colours with `share` of the second, in [0, 1]; beyond 1 it exaggerates."""
    rest = 1 - share
    return (
        _clip(rest * first[0] + share * second[0]),
        _clip(rest * first[1] + share * second[1]),
        _clip(rest * first[2] + share * second[2]),
    )


@functools.lru_cache(maxsize=4096)
def tone(colour: Colour, factor: float) -> Colour:
    """The colour made `factor` times as bright."""
    return _clip(factor * colour[0]), _clip(factor * colour[1]), _clip(factor * colour[2])


def _clip(value: float) -> int:
    return min(255, max(0, round(value)))


_TURN = np.linspace(0, 2 * np.pi, 20, endpoint=False)
_CIRCLE = np.stack((np.cos(_TURN), np.sin(_TURN)), axis=1)


@functools.cache
def _closed_weights(count: int, steps: int) -> Points:
    t = np.linspace(0, 1, steps, endpoint=False)
    weights = (
        np.stack((-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, t**3 - t**2), axis=1) / 2
    )
    matrix = np.zeros((count * steps, count))
    for i in range(count):
        for j in range(4):
            matrix[i * steps : (i + 1) * steps, (i + j - 1) % count] += weights[:, j]
    return matrix


@functools.cache
def _leaf_profile(bluntness: float) -> Points:
    """A leaf from (0, 0) to (1, 0) of half width 1, up one side and back along the other, [14, 2]."""
    s = np.array((0.0, 0.12, 0.32, 0.55, 0.76, 0.92, 1.0))
    power = math.log(0.5) / math.log(bluntness)  # puts the widest place of sin(pi * s ** power) at `bluntness`
    half = np.sin(np.pi * s**power).clip(0) ** 0.8
    return np.concatenate((np.stack((s, half), axis=1), np.stack((s, -half), axis=1)[::-1]))
