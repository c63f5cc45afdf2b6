"""What the page of a run shows of what its model looks for, as plain values."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Box = tuple[int, int, int, int]
"""Left, top, width and height in pixels."""


class ReceptiveField(Protocol):
    """What the middle unit of a stage's grid sees of images of S pixels a side."""

    @property
    def stage(self) -> str:
        """Path of the module."""

    @property
    def cells(self) -> int:
        """Of its grid, a side."""

    @property
    def influence(self) -> NDArray[np.float64]:
        """Of each pixel on the unit [S, S], at least 0."""

    @property
    def reach(self) -> Box:
        """Outside it no pixel can change the unit."""

    @property
    def core(self) -> Box:
        """The smallest square that holds 95 % of the influence."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Attended:
    """A test image and what the class token attends to in it, by head."""

    path: str
    label: int
    predicted: int
    probability: float
    """Of the class predicted."""
    pixels: NDArray[np.uint8]
    """The plain view, RGB [S, S, 3]."""
    first: NDArray[np.float32]
    """In the first layer [heads, h, w]."""
    last: NDArray[np.float32]
    """In the last layer [heads, h, w]."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Perception:
    """What a model looks for; what means nothing for its architecture is empty."""

    kernels: NDArray[np.float32] | None = None
    """Weights of the first layer as small images [F, C, h, w], C 1 or 3; None where it reads no pixels."""
    fields: Sequence[ReceptiveField] = ()
    """Of its stages, from stem to head."""
    field_images: int = 0
    """How many test images the influence is a mean over."""
    attended: Sequence[Attended] = ()
    unseen: str = ""
    """Why there are no fields and nothing attended, where the device failed; else empty."""
