"""Confident learning: by hand, and where it is known which labels are wrong."""

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict

from finegrain.errors import NumericsError
from finegrain.metrics.label_errors import suspected_labels
from finegrain.metrics.mistakes import Mistake


def suspects(labels: list[int], rows: list[list[float]]) -> tuple[Mistake, ...]:
    return suspected_labels([f"{i}.jpg" for i in range(len(labels))], np.array(labels), np.array(rows))


def test_by_hand() -> None:
    """The thresholds are 0.5, 0.7 and 0.6."""
    found = suspects(
        [0, 0, 0, 1, 1, 1, 2, 2],
        [
            [0.90, 0.05, 0.05],
            [0.10, 0.75, 0.15],  # at 0.75 ≥ 0.7 counts for 1
            [0.50, 0.50, 0.00],  # reaches its own threshold, not that of 1
            [0.00, 0.95, 0.05],
            [0.02, 0.95, 0.03],
            [0.75, 0.20, 0.05],  # counts for 0, margin −0.55; image 1 has −0.65
            [0.30, 0.10, 0.60],
            [0.40, 0.00, 0.60],
        ],
    )
    assert [(s.path, s.label, s.predicted) for s in found] == [("1.jpg", 0, 1), ("5.jpg", 1, 0)]
    assert found[0].label_probability == pytest.approx(0.10)
    assert found[0].probability == pytest.approx(0.75)


def test_a_wrong_answer_below_the_threshold_of_its_class_is_no_suspicion() -> None:
    """Class 1 is usually named at 0.9: 0.6 is only a hard image."""
    assert suspects([0, 0, 1, 1], [[0.9, 0.1], [0.4, 0.6], [0.1, 0.9], [0.1, 0.9]]) == ()


def test_a_label_that_is_the_most_probable_class_is_never_suspected() -> None:
    """Image 1 misses its own threshold, 0.75, and reaches that of class 1, 0.3."""
    rows = [[0.95, 0.05, 0.0], [0.55, 0.45, 0.0], [0.3, 0.3, 0.4], [0.3, 0.3, 0.4], [0.0, 0.0, 1.0]]
    assert "1.jpg" not in [s.path for s in suspects([0, 0, 1, 1, 2], rows)]


def test_of_several_classes_that_are_reached_the_most_probable_is_suggested() -> None:
    rows = [[0.1, 0.5, 0.4], [0.8, 0.1, 0.1], [0.5, 0.3, 0.2], [0.5, 0.2, 0.3]]
    first, *_ = suspects([0, 0, 1, 2], rows)
    assert (first.path, first.predicted) == ("0.jpg", 1)


def test_a_class_without_images_is_never_suggested() -> None:
    assert suspects([0, 0], [[0.2, 0.8], [0.6, 0.4]]) == ()


def test_equal_rows_reach_their_own_mean() -> None:
    """Rounding must not push 0.7 below the mean of three times 0.7."""
    found = suspects([0, 0, 0, 1, 1, 1, 0], [[0.7, 0.3]] * 3 + [[0.3, 0.7]] * 3 + [[0.3, 0.7]])
    assert [s.path for s in found] == ["6.jpg"]


def test_what_is_not_finite_is_refused() -> None:
    with pytest.raises(NumericsError):
        suspects([0, 1], [[np.nan, 0.5], [0.5, 0.5]])


@pytest.fixture(scope="module")
def separable() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Five classes, 200 images each, ten standard deviations apart."""
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(5), 200)
    return 10 * np.eye(5)[labels] + random.normal(size=(1000, 5)), labels


def found_in(features: NDArray[np.float64], labels: NDArray[np.int64]) -> set[int]:
    said = cross_val_predict(LogisticRegression(C=0.1), features, labels, cv=5, method="predict_proba")
    return {int(s.path) for s in suspected_labels([str(i) for i in range(len(labels))], labels, said)}


def test_planted_errors_are_found(separable) -> None:
    features, truth = separable
    random = np.random.default_rng(1)
    planted = random.choice(len(truth), 50, replace=False)
    labels = truth.copy()
    labels[planted] = (truth[planted] + random.integers(1, 5, 50)) % 5
    found = found_in(features, labels)
    right = len(found & set(planted.tolist()))
    assert right >= 0.95 * 50  # recall
    assert right >= 0.95 * len(found)  # precision


def test_right_labels_are_left_alone(separable) -> None:
    assert len(found_in(*separable)) <= 2
