"""How images must be prepared for given weights: a plain value that models state and data obeys."""

from dataclasses import dataclass
from typing import Literal

Interpolation = Literal["nearest", "bilinear", "bicubic"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Preprocessing:
    """What the weights expect of an image; read from the weights' own metadata, never guessed."""

    image_size: int
    """Side in pixels of the square the model sees."""
    resize_size: int
    """Short side in pixels after the evaluation resize, before the centre crop."""
    mean: tuple[float, float, float]
    """Per-channel mean of RGB in [0, 1]."""
    std: tuple[float, float, float]
    """Per-channel standard deviation of RGB in [0, 1]."""
    interpolation: Interpolation
