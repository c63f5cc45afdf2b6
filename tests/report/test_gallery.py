import io

import numpy as np
from PIL import Image

from finegrain.report.gallery import STAMP_SIDE, THUMBNAIL_SIDE, thumbnail


def test_thumbnail_shrinks_and_never_enlarges() -> None:
    large = Image.open(io.BytesIO(thumbnail(np.zeros((300, 600, 3), np.uint8))))
    small = Image.open(io.BytesIO(thumbnail(np.zeros((7, 5, 3), np.uint8))))
    assert (large.format, large.size, small.size) == ("JPEG", (THUMBNAIL_SIDE, THUMBNAIL_SIDE // 2), (5, 7))


def test_a_stamp_is_smaller() -> None:
    stamp = Image.open(io.BytesIO(thumbnail(np.zeros((300, 600, 3), np.uint8), STAMP_SIDE)))
    assert stamp.size == (STAMP_SIDE, STAMP_SIDE // 2)
