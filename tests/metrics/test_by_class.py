import numpy as np
import pytest

from finegrain.errors import DataError
from finegrain.metrics.by_class import KernelDistances, diversities, kernel_distances
from finegrain.metrics.feature_sets import Extractor
from finegrain.metrics.kernel_distance import kernel_distance

NETWORK = Extractor(name="resnet50", sha256="ab" * 32)


def two_classes(*, seed: int, sizes: tuple[int, ...] = (20, 20)) -> tuple[np.ndarray, np.ndarray]:
    """Features about −2 in class 0, about 2 in class 1 and so on."""
    labels = np.repeat(np.arange(len(sizes)), sizes)
    return np.random.default_rng(seed).normal(0, 1, (len(labels), 3)) + 4 * labels[:, None] - 2, labels


def judged(real: np.ndarray, fake: np.ndarray, real_labels: np.ndarray, fake_labels: np.ndarray) -> KernelDistances:
    return kernel_distances(real, fake, real_labels, fake_labels, extractor=NETWORK, seed=0, permutations=199, draws=50)


def test_classes_mixed_up_show_only_by_class() -> None:
    (real, labels), (fake, _) = two_classes(seed=0), two_classes(seed=1)
    right, wrong = judged(real, fake, labels, labels), judged(real, fake, labels, 1 - labels)
    assert right.overall == wrong.overall
    assert right.overall.p > 0.05
    assert min(row.result.p for row in right.classes) > 0.05
    assert [row.result.p for row in wrong.classes] == [1 / 200, 1 / 200]
    assert wrong.adjusted_p == (pytest.approx(2 / 200), pytest.approx(2 / 200))


def test_a_row_is_the_distance_of_its_class() -> None:
    (real, labels), (fake, _) = two_classes(seed=0), two_classes(seed=1)
    one = kernel_distance(real[:20], fake[:20], extractor=NETWORK, seed=0, permutations=199, draws=50)
    assert judged(real, fake, labels, labels).classes[0].result == one


def test_few_images_are_said_to_be_few() -> None:
    real, real_labels = two_classes(seed=0, sizes=(20, 9, 30))
    fake, fake_labels = two_classes(seed=1, sizes=(10, 8, 0, 12))
    result = judged(real, fake, real_labels, fake_labels)
    assert [(row.label, row.n_real, row.n_fake) for row in result.classes] == [
        (0, 20, 10), (1, 9, 8), (2, 30, 0), (3, 0, 12),
    ]  # fmt: skip
    assert [row.remark for row in result.classes] == [
        "",
        "too few images: 9 real and 8 generated, at least 10 needed",
        "too few images: 0 generated, at least 10 needed",
        "too few images: 0 real, at least 10 needed",
    ]
    assert [row.result is None for row in result.classes] == [False, True, True, True]
    assert [p is None for p in result.adjusted_p] == [False, True, True, True]
    assert (result.overall.n_real, result.overall.n_fake) == (59, 30)


def test_a_collapsed_class_is_found() -> None:
    (real, labels), (fake, _) = two_classes(seed=0), two_classes(seed=1)
    fake[labels == 1] = fake[-1]
    rows = diversities(real, fake, labels, labels, seed=0, draws=200)
    assert [row.result.collapsed for row in rows] == [False, True]


def test_labels_of_other_images_are_refused() -> None:
    real, labels = two_classes(seed=0)
    with pytest.raises(DataError, match=r"labels of other generated images: got \[39\] labels of 40 images"):
        judged(real, real, labels, labels[1:])
