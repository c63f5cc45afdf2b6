import io

import numpy as np
from PIL import Image

from finegrain.report.gallery import SMALL, STAMP_SIDE, THUMBNAIL_SIDE, data_uri, strip, thumbnail


def test_thumbnail_shrinks_and_never_enlarges() -> None:
    large = Image.open(io.BytesIO(thumbnail(np.zeros((300, 600, 3), np.uint8))))
    small = Image.open(io.BytesIO(thumbnail(np.zeros((7, 5, 3), np.uint8))))
    assert (large.format, large.size, small.size) == ("JPEG", (THUMBNAIL_SIDE, THUMBNAIL_SIDE // 2), (5, 7))


def test_a_stamp_is_smaller() -> None:
    stamp = Image.open(io.BytesIO(thumbnail(np.zeros((300, 600, 3), np.uint8), STAMP_SIDE)))
    assert stamp.size == (STAMP_SIDE, STAMP_SIDE // 2)


def test_a_strip_holds_the_central_squares_of_images_of_any_size() -> None:
    wide, small = np.zeros((20, 60, 3), np.uint8), np.full((4, 4, 3), 200, np.uint8)
    wide[:, 20:40] = 100
    row = Image.open(io.BytesIO(strip([wide, small], side=16)))
    assert (row.format, row.size) == ("JPEG", (34, 16))
    pixels = np.asarray(row).astype(int)
    assert abs(pixels[:, :12] - 100).max() < 12
    assert abs(pixels[:, 22:] - 200).max() < 12


def test_every_pixel_of_a_small_image_is_kept() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (28, 30, 3), np.uint8)
    picture = thumbnail(pixels)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(picture))), pixels)
    assert data_uri(picture).startswith("data:image/png;base64,")
    large = thumbnail(np.zeros((SMALL + 1, 8, 3), np.uint8))
    assert data_uri(large).startswith("data:image/jpeg;base64,")
    assert Image.open(io.BytesIO(thumbnail(pixels, side=10))).size == (10, 9)
