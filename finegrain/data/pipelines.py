"""What is done to pixels, uint8 [H, W, 3] to uint8 [S, S, 3]; only here is Albumentations imported."""

import os
import random
from dataclasses import dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np
import PIL.Image
import torch
from numpy.typing import NDArray

from finegrain.preprocessing import Interpolation

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # It would ask the network for a newer release at import.
import albumentations as A

cv2.setNumThreads(0)  # One thread an image: the loader works on several images at once.

Pixels = NDArray[np.uint8]

_PILLOW = {
    "nearest": PIL.Image.Resampling.NEAREST,
    "bilinear": PIL.Image.Resampling.BILINEAR,
    "bicubic": PIL.Image.Resampling.BICUBIC,
}
_OPENCV = {"nearest": cv2.INTER_NEAREST_EXACT, "bilinear": cv2.INTER_LINEAR, "bicubic": cv2.INTER_CUBIC}
_GREY = np.array([0.299, 0.587, 0.114])
"""What red, green and blue give to grey: ITU-R BT.601, as in OpenCV and torchvision."""
_LONGEST_ASPECT = 4
"""Before the evaluation resize an image is cut to this ratio of its sides, so that 20000×1 cannot fill the memory."""


class EvalView(NamedTuple):
    """A square that evaluation shows of an image."""

    resize_size: int
    """Short side of the image in pixels before the square is cut."""
    down: int = 0
    """Where the square lies in the central square of this side: −1 at the top, 0 in the middle, 1 at the bottom."""
    right: int = 0
    """The same from left to right."""
    mirrored: bool = False
    """Whether left and right are exchanged."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EvalPipeline:
    """Resize the short side and cut squares of `image_size`, V `views` of the image, one below the other.

    Pixels of the central square are those of torchvision's and timm's own evaluation transforms, bit by bit.
    """

    image_size: int
    interpolation: Interpolation
    views: tuple[EvalView, ...]

    def __call__(self, *, image: Pixels) -> dict[str, Any]:
        """`image` [H, W, 3] as [V·S, S, 3] under the key `image`."""
        sizes = dict.fromkeys(view.resize_size for view in self.views)
        resized = {size: _resize_short_side(image, size=size, interpolation=self.interpolation) for size in sizes}
        return {"image": np.concatenate([self._square(resized[view.resize_size], view) for view in self.views])}

    def set_random_state(self, random_generator: np.random.Generator, py_random: random.Random) -> None:
        """Nothing is drawn."""

    def _square(self, pixels: Pixels, view: EvalView) -> Pixels:
        (height, width), side = pixels.shape[:2], self.image_size
        room = view.resize_size - side
        top, left = round((height - side + view.down * room) / 2), round((width - side + view.right * room) / 2)
        square = pixels[top : top + side, left : left + side]
        return square[:, ::-1] if view.mirrored else square


def train_pipeline(
    crop: A.BasicTransform, *, flip: float, color_jitter: float, coarse_dropout: float, fill: tuple[int, int, int]
) -> A.Compose:
    """`crop`, then a mirror image, changed colours and erased rectangles.

    Args:
        crop: One of the random crops of this module.
        flip: Probability of mirroring left to right.
        color_jitter: Largest relative change of brightness, contrast and saturation.
        coarse_dropout: Probability of erasing one to four rectangles (DeVries and Taylor, 2017).
        fill: RGB of what is erased.
    """
    steps = [crop]
    if flip > 0:
        steps.append(A.HorizontalFlip(p=flip))
    if color_jitter > 0:
        steps.append(ColorJitter(color_jitter))
    if coarse_dropout > 0:
        side = (0.1, 0.25)
        steps.append(
            A.CoarseDropout(
                num_holes_range=(1, 4), hole_height_range=side, hole_width_range=side, fill=fill, p=coarse_dropout
            )
        )
    return A.Compose(steps)


@dataclass(frozen=True, kw_only=True, slots=True)
class Resize:
    """How pixels become a square, whatever their shape was."""

    size: int
    interpolation: Interpolation
    antialias: bool
    """Torch's antialiased kernel, within a level of Pillow's in a third of the time; else OpenCV's plain one."""

    def __call__(self, pixels: Pixels) -> Pixels:
        """`pixels` [H, W, 3] as [size, size, 3]."""
        shape = (self.size, self.size)
        if not self.antialias or self.interpolation == "nearest":
            plain: Pixels = cv2.resize(pixels, shape, interpolation=_OPENCV[self.interpolation])
            return plain
        # The batch dimension first: added last, its stride hides the layout from torch, which then rearranges twice.
        image = torch.from_numpy(np.array(pixels))[None].permute(0, 3, 1, 2)
        resized = torch.nn.functional.interpolate(image, shape, mode=self.interpolation, antialias=True)
        smooth: Pixels = resized[0].permute(1, 2, 0).numpy()
        return smooth


class RandomResizedCrop(A.RandomResizedCrop):  # type: ignore[misc]
    """Albumentations' crop of random area and aspect ratio, resized with or without antialiasing.

    OpenCV's resize has none, and evaluation's has: a network trains on other textures than it is judged on.
    """

    def __init__(self, resize: Resize, *, min_scale: float) -> None:
        super().__init__(size=(resize.size, resize.size), scale=(min_scale, 1.0))
        self.resize = resize

    def apply(self, img: Pixels, crop_coords: tuple[int, int, int, int], **params: Any) -> Pixels:
        """Cut `crop_coords` (left, top, right, bottom) out and resize it."""
        left, top, right, bottom = crop_coords
        return self.resize(img[top:bottom, left:right])


class RandomSquareCrop(A.ImageOnlyTransform):  # type: ignore[misc]
    """A random square of the size of `resize` out of the image resized to the short side `resize_size`.

    The square is cut first and then resized, which costs less than the other way round.
    """

    def __init__(self, resize: Resize, *, resize_size: int) -> None:
        super().__init__(p=1.0)
        self.resize = resize
        self.resize_size = resize_size

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        """Draw the square's place."""
        height, width = params["shape"][:2]
        side = max(1, round(min(height, width) * self.resize.size / self.resize_size))
        top = self.py_random.randint(0, height - side)
        left = self.py_random.randint(0, width - side)
        return {"square": (top, left, side)}

    def apply(self, img: Pixels, square: tuple[int, int, int], **params: Any) -> Pixels:
        """Cut `square` (top, left, side) out and resize it."""
        top, left, side = square
        return self.resize(img[top : top + side, left : left + side])


class ColorJitter(A.ColorJitter):  # type: ignore[misc]
    """Albumentations' change of brightness, contrast and saturation, in one pass instead of three.

    With factors b, c, s, the grey g of a pixel and the mean grey m of the image, the three give in any order

        b c (s x + (1 − s) g) + b (1 − c) m,

    a matrix on RGB, as long as no step clips. This clips once, at the end, where the library clips and rounds thrice.
    """

    def __init__(self, strength: float) -> None:
        """Draw each factor from [1 − `strength`, 1 + `strength`]."""
        span = (1 - strength, 1 + strength)
        super().__init__(brightness=span, contrast=span, saturation=span, hue=(0, 0), p=1)

    def apply(self, img: Pixels, brightness: float, contrast: float, saturation: float, **params: Any) -> Pixels:
        """`img` [H, W, 3] with these factors; the order that the library draws beside them has no effect."""
        matrix = np.empty((3, 4))
        matrix[:, :3] = brightness * contrast * (saturation * np.eye(3) + (1 - saturation) * _GREY)
        matrix[:, 3] = brightness * (1 - contrast) * (_GREY @ cv2.mean(img)[:3])
        changed: Pixels = cv2.transform(img, matrix)
        return changed


def _resize_short_side(pixels: Pixels, *, size: int, interpolation: Interpolation) -> Pixels:
    """Torchvision's and timm's `Resize(size)` of a PIL image: same rounding, same filter."""
    height, width = pixels.shape[:2]
    longest = _LONGEST_ASPECT * min(height, width)
    pixels = _center_cut(pixels, min(height, longest), min(width, longest))
    height, width = pixels.shape[:2]
    short = min(height, width)
    shape = (size * width // short, size * height // short)
    return np.asarray(PIL.Image.fromarray(pixels).resize(shape, _PILLOW[interpolation]))


def _center_cut(pixels: Pixels, height: int, width: int) -> Pixels:
    top, left = round((pixels.shape[0] - height) / 2), round((pixels.shape[1] - width) / 2)
    return pixels[top : top + height, left : left + width]
