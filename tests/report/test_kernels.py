"""Pictures of a first layer: every weight where it belongs, and how the page tells it."""

import io

import numpy as np
from parsed_page import Page
from PIL import Image
from report_sample import make_report

from finegrain.report import page
from finegrain.report.kernels import MOST_KERNELS, kernels_png
from finegrain.report.perception_record import Perception
from finegrain.report.report import Report

GAP = 3


def drawn(kernels) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(kernels_png(np.asarray(kernels, dtype=np.float32)))))


def reported(kernels: np.ndarray) -> Report:
    return make_report(perception=Perception(kernels=kernels.astype(np.float32)))


def test_a_grey_kernel_is_scaled_about_mid_grey_by_its_largest_weight():
    picture = drawn([[[[2.0, 0.0], [-1.0, -2.0]]]])
    assert picture.shape == (56, 56, 3)
    assert picture[0, 0].tolist() == [255, 255, 255]
    assert picture[0, 55].tolist() == [128, 128, 128]
    assert picture[55, 0].tolist() == [64, 64, 64]
    assert picture[55, 55].tolist() == [0, 0, 0]


def test_channels_are_red_green_and_blue():
    assert drawn(np.array([1.0, 0.0, -1.0]).reshape(1, 3, 1, 1))[9, 9].tolist() == [255, 128, 0]


def test_kernels_stand_sixteen_a_row_and_the_first_are_drawn():
    kernels = np.where(np.arange(100) % 2, 1.0, -1.0).reshape(100, 1, 1, 1)
    picture = drawn(kernels)
    assert picture.shape == (4 * 56 + 3 * GAP, 16 * 56 + 15 * GAP, 3)
    centres = [picture[row * (56 + GAP) + 28, column * (56 + GAP) + 28, 0] for row in range(4) for column in range(16)]
    assert centres == [0, 255] * (MOST_KERNELS // 2)


def test_a_kernel_of_zeros_is_mid_grey():
    assert (drawn(np.zeros((1, 1, 2, 2))) == 128).all()


def test_the_page_shows_them_and_says_what_they_are():
    shown = Page(page.html(reported(np.ones((70, 3, 2, 2)))))
    assert "the first 64 of its 70 outputs, over 2 × 2 pixels each, in red, green and blue" in shown.text
    (picture,) = shown.having("img", **{"class": "kernels"})
    assert str(picture["src"]).startswith("data:image/png;base64,")
    grey = Page(page.html(reported(np.ones((6, 1, 5, 5))))).text
    assert "The weights of its 6 outputs, over 5 × 5 pixels each." in grey
    assert "First layer" not in Page(page.html(make_report())).text
