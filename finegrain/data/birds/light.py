"""Lays the layers of a picture over each other with light and shadow, and takes the photograph."""

import functools

import cv2
import numpy as np
from numpy.typing import NDArray

from finegrain.data.birds.canvas import Picture, Points


def light_up(bird: Picture, silhouette: Points, rng: np.random.Generator) -> None:
    """Shade a bird's layer [S, S, 4] in place as a round body lit from above, with the texture of feathers.

    The height of the surface is the blurred silhouette, so the light depends on the pose and not on the markings.
    """
    size = len(bird)
    mask = np.zeros((size, size), np.float32)
    cv2.fillPoly(mask, [np.rint(silhouette * (size * 16)).astype(np.int32)], (1.0,), cv2.LINE_AA, 4)
    span = float(np.ptp(silhouette[:, 0]))
    height = cv2.GaussianBlur(mask, (0, 0), 0.075 * span * size)
    angle = rng.uniform(-1.0, 1.0)  # from straight above, in radians
    slope = cv2.Sobel(height, cv2.CV_32F, 0, 1) * np.cos(angle) + cv2.Sobel(height, cv2.CV_32F, 1, 0) * np.sin(angle)
    slope *= rng.uniform(0.35, 0.65) * 0.075 * span * size / 4
    x, y, zoom, turn = rng.uniform((0, 0, 0.9, -0.4), (256, 256, 1.3, 0.4))
    k = zoom * 0.42 / (span * size) * 256
    cos, sin = k * np.cos(turn), k * np.sin(turn)
    texture = cv2.warpAffine(
        _feather_texture(), np.array(((cos, sin, x), (-sin, cos, y))), (size, size),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_WRAP,
    )  # fmt: skip
    bird[..., :3] *= (1.0 + slope + texture * mask)[..., None]


@functools.cache
def _feather_texture() -> NDArray[np.float32]:
    """Rows of overlapping scallops with noise, repeating every 256 pixels, around 0, [256, 256]."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:256, 0:256] / 256
    rows = 16
    row = np.floor(y * rows)
    across = (x * rows * 0.75 + 0.5 * (row % 2)) % 1.0 - 0.5
    down = y * rows - row
    rim = down - (1 - 2.2 * across**2)
    scallop = 0.07 * np.tanh(4 * rim) + 0.05 * (0.5 - down)
    grain = cv2.GaussianBlur(rng.normal(0, 1, (256, 256)), (0, 0), 1.0)
    texture: NDArray[np.float32] = (scallop + 0.035 * grain / grain.std()).astype(np.float32)
    texture -= texture.mean()
    return texture


def place(picture: Picture, layer: Picture) -> None:
    """Lay a layer [S, S, 4], colours multiplied by coverage, over the picture in place."""
    picture *= 1 - layer[..., 3:] / 255
    picture += layer[..., :3]


def shadow(below: Picture, above: Picture, strength: float = 0.45) -> None:
    """Darken the layer `below` in place where the layer `above` casts its soft shadow; both [S, S, 4]."""
    reach = 0.018 * len(below)
    down = np.array(((1, 0, 0.6 * reach), (0, 1, 1.6 * reach)))
    shade = cv2.warpAffine(cv2.GaussianBlur(above[..., 3], (0, 0), reach), down, below.shape[:2])
    below[..., :3] *= 1 - strength / 255 * shade[..., None]


def expose(picture: Picture, rng: np.random.Generator) -> NDArray[np.uint8]:
    """The photograph: dappled light, white balance, exposure, contrast, a little lens blur and sensor noise."""
    size = len(picture)
    dapple = 1 + rng.normal(0, rng.uniform(0.0, 0.16), (5, 5)).astype(np.float32)
    picture *= cv2.resize(dapple, (size, size), interpolation=cv2.INTER_CUBIC)[..., None]
    warmth = rng.normal(0, 0.06)
    picture *= np.array((1 + warmth, 1.0, 1 - warmth), np.float32) * np.float32(rng.uniform(0.72, 1.25))
    contrast = np.float32(rng.uniform(0.75, 1.12))
    picture = (picture - 118) * contrast + 118
    if rng.random() < 0.35:
        picture = cv2.GaussianBlur(picture, (0, 0), float(rng.uniform(0.3, 0.7)) * size / 96)
    x, y = rng.integers(0, 128, 2)
    noise = np.roll(_grain(), (int(y), int(x)), axis=(0, 1))
    tiles = -(-size // len(noise))
    picture += np.float32(rng.uniform(0.5, 5.0)) * np.tile(noise, (tiles, tiles))[:size, :size, None]
    pixels: NDArray[np.uint8] = np.rint(picture.clip(0, 255)).astype(np.uint8)
    return pixels


@functools.cache
def _grain() -> NDArray[np.float32]:
    """Sensor noise of standard deviation 1, [128, 128]."""
    return np.random.default_rng(1).normal(0, 1, (128, 128)).astype(np.float32)
