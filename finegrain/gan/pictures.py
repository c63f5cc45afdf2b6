"""Generated images as pixels: uint8, grids, PNG."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

GAP = 2
"""Pixels of white between the images of a grid."""


def to_pixels(images: Tensor) -> NDArray[np.uint8]:
    """Images float [N, 3, S, S] in [−1, 1] as uint8 [N, S, S, 3]."""
    levels = ((images.float() + 1) * 127.5).round().clamp(0, 255)
    pixels: NDArray[np.uint8] = levels.byte().permute(0, 2, 3, 1).cpu().numpy()
    return pixels


def grid(pixels: NDArray[np.uint8], *, columns: int) -> NDArray[np.uint8]:
    """Images uint8 [R · columns, S, S, 3] as one [H, W, 3], row by row, on white."""
    count, side = pixels.shape[:2]
    rows, step = count // columns, side + GAP
    canvas = np.full((rows * step - GAP, columns * step - GAP, 3), 255, np.uint8)
    for number, image in enumerate(pixels):
        top, left = (step * place for place in divmod(number, columns))
        canvas[top : top + side, left : left + side] = image
    return canvas


def png(pixels: NDArray[np.uint8]) -> bytes:
    """`pixels` uint8 [H, W, 3] as a PNG file, the same bytes each time: it tells neither time nor program."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", compress_level=6)
    return buffer.getvalue()
