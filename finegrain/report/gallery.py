"""Make small pictures of images, to be embedded in a page."""

import base64
import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from finegrain.report.heat import png

THUMBNAIL_SIDE = 176
"""Longest side of a thumbnail in pixels: sharp at the size the gallery shows, small enough to embed."""
STAMP_SIDE = 88
"""The same where a page shows hundreds."""

SMALL = 64
"""Images of so many pixels a side or fewer are kept as they are: enlarged by the page, every pixel is to show."""


def thumbnail(pixels: NDArray[np.uint8], side: int = THUMBNAIL_SIDE) -> bytes:
    """`pixels` uint8 [H, W, 3] as a JPEG whose longest side is at most `side`; small ones as a PNG; none enlarged."""
    if max(pixels.shape) <= min(SMALL, side):
        return png(pixels)
    image = Image.fromarray(pixels)
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    return _jpeg(image)


def strip(images: Sequence[NDArray[np.uint8]], *, side: int) -> bytes:
    """The central squares of images uint8 [H, W, 3], of any sizes, side by side as one JPEG on white."""
    gap = 2
    canvas = Image.new("RGB", (len(images) * (side + gap) - gap, side), "white")
    for place, pixels in enumerate(images):
        square = ImageOps.fit(Image.fromarray(pixels), (side, side), Image.Resampling.LANCZOS)
        canvas.paste(square, (place * (side + gap), 0))
    return _jpeg(canvas)


def data_uri(picture: bytes) -> str:
    """A JPEG or PNG as a page embeds it."""
    kind = "png" if picture.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64," + base64.b64encode(picture).decode("ascii")


def _jpeg(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=82)
    return buffer.getvalue()
