"""Draw maps over photographs, and attention by layer and head, as PNG."""

import io
from collections.abc import Sequence

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image

_HEAT = matplotlib.colormaps["inferno"]
_OPACITY = 0.8
"""Of the hottest pixel; the coldest shows the photograph alone."""
CELL = 56
"""Side of one attention map in pixels."""
_GAP = 3


def overlay(pixels: NDArray[np.uint8], heat: NDArray[np.float32]) -> NDArray[np.uint8]:
    """A grey photograph with the map over it, as far as it is hot: uint8 [S, S, 3].

    Args:
        pixels: RGB, uint8 [S, S, 3].
        heat: float [S, S] in [0, 1].
    """
    grey = np.asarray(Image.fromarray(pixels).convert("L"), np.float32)[..., None]
    opacity = _OPACITY * heat[..., None]
    mixed = (1 - opacity) * grey + opacity * 255 * _HEAT(heat)[..., :3]
    drawn: NDArray[np.uint8] = mixed.round().astype(np.uint8)
    return drawn


def attention_sheet(maps: NDArray[np.float32]) -> NDArray[np.uint8]:
    """All layers from top to bottom, heads from left to right, each map [h, w] from its least to its most.

    Args:
        maps: float [layers, heads, h, w].
    """
    rows = []
    for layer in maps:
        cells = [np.asarray(Image.fromarray(colours(head)).resize((CELL, CELL), Image.Resampling.NEAREST))
                 for head in layer]  # fmt: skip
        rows.append(side_by_side(cells))
    height, width = rows[0].shape[:2]
    sheet = np.full((len(rows) * (height + _GAP) - _GAP, width, 3), 255, np.uint8)
    for number, row in enumerate(rows):
        sheet[number * (height + _GAP) :][:height] = row
    return sheet


def colours(values: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Values [H, W] as uint8 [H, W, 3], black to bright from their least to their most."""
    low, high = values.min(), values.max()
    coloured: NDArray[np.uint8] = _HEAT((values - low) / max(high - low, 1e-12), bytes=True)[..., :3]
    return coloured


def side_by_side(pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Pictures uint8 [H, W, 3] of any sizes in one row, their tops aligned, on white."""
    height = max(len(picture) for picture in pictures)
    width = sum(picture.shape[1] + _GAP for picture in pictures) - _GAP
    row, left = np.full((height, width, 3), 255, np.uint8), 0
    for picture in pictures:
        row[: len(picture), left : left + picture.shape[1]] = picture
        left += picture.shape[1] + _GAP
    return row


def png(pixels: NDArray[np.uint8]) -> bytes:
    """`pixels` uint8 [H, W, 3] as a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()
