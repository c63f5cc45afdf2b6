import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from report_sample import Predicted

from finegrain.report.gallery import THUMBNAIL_SIDE, surest_mistakes, thumbnail

PREDICTIONS = Predicted(
    paths=("right.jpg", "sure.jpg", "unsure.jpg", "tie.jpg"),
    labels=np.array([0, 0, 1, 2]),
    probabilities=np.array([[1.0, 0, 0], [0.1, 0.9, 0], [0.6, 0.4, 0], [0.6, 0.0, 0.4]]),
)


def _pixels(index: int) -> NDArray[np.uint8]:
    return np.full((20, 30, 3), 40 * index, np.uint8)


def test_the_surest_mistake_comes_first_and_ties_keep_their_order() -> None:
    mistakes = surest_mistakes(PREDICTIONS, limit=9, read=_pixels, example=_pixels)
    assert [m.path for m in mistakes] == ["sure.jpg", "unsure.jpg", "tie.jpg"]
    assert [(m.label, m.predicted, m.probability) for m in mistakes] == [(0, 1, 0.9), (1, 0, 0.6), (2, 0, 0.6)]


def test_only_what_is_shown_is_read_and_each_class_once() -> None:
    read, examples = [], []
    surest_mistakes(
        PREDICTIONS,
        limit=1,
        read=lambda index: read.append(index) or _pixels(index),
        example=lambda label: examples.append(label),
    )
    assert (read, examples) == ([1], [1])


def test_pictures_are_those_of_the_image_and_of_the_predicted_class() -> None:
    mistake = surest_mistakes(PREDICTIONS, limit=1, read=_pixels, example=lambda label: _pixels(label + 3))[0]
    colours = [np.asarray(Image.open(io.BytesIO(jpeg or b"")))[5, 5, 0] for jpeg in (mistake.image, mistake.example)]
    np.testing.assert_allclose(np.array(colours, int), [40, 160], atol=2)


def test_a_class_without_train_images_has_no_example() -> None:
    assert surest_mistakes(PREDICTIONS, limit=1, read=_pixels, example=lambda label: None)[0].example is None


def test_no_mistake_no_gallery() -> None:
    perfect = Predicted(paths=("a", "b"), labels=np.array([0, 1]), probabilities=np.eye(2))
    assert surest_mistakes(perfect, limit=5, read=_pixels, example=_pixels) == ()


def test_thumbnail_shrinks_and_never_enlarges() -> None:
    large = Image.open(io.BytesIO(thumbnail(np.zeros((300, 600, 3), np.uint8))))
    small = Image.open(io.BytesIO(thumbnail(np.zeros((7, 5, 3), np.uint8))))
    assert (large.format, large.size, small.size) == ("JPEG", (THUMBNAIL_SIDE, THUMBNAIL_SIDE // 2), (5, 7))
