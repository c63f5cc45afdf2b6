"""Make small pictures of images, to be embedded in a page."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

THUMBNAIL_SIDE = 176
"""Longest side of a thumbnail in pixels: sharp at the size the gallery shows, small enough to embed."""
STAMP_SIDE = 88
"""The same where a page shows hundreds."""


def thumbnail(pixels: NDArray[np.uint8], side: int = THUMBNAIL_SIDE) -> bytes:
    """`pixels` uint8 [H, W, 3] as a JPEG whose longest side is at most `side`; never enlarged."""
    image = Image.fromarray(pixels)
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=82)
    return buffer.getvalue()
