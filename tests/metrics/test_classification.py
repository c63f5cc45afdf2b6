import json
import math
import warnings

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn import metrics as sk

from finegrain.errors import DataError, NumericsError
from finegrain.metrics.classification import evaluate_predictions


def random_case(n: int, k: int, *, missing: int | None = None) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    generator = np.random.default_rng(n + k)
    labels = generator.integers(0, k, n)
    if missing is not None:
        labels[labels == missing] = (missing + 1) % k
    scores = generator.normal(size=(n, k)) + 1.5 * np.eye(k)[labels]
    exponential = np.exp(scores)
    return labels, exponential / exponential.sum(axis=1, keepdims=True)


def test_hand_computed() -> None:
    labels = np.array([0, 0, 1, 1])
    probabilities = np.array([[0.8, 0.2], [0.4, 0.6], [0.1, 0.9], [0.3, 0.7]])
    metrics = evaluate_predictions(labels, probabilities)
    assert (metrics.n, metrics.top1, metrics.top5) == (4, 0.75, 1.0)
    assert metrics.loss == pytest.approx(-math.log(0.8 * 0.4 * 0.9 * 0.7) / 4)
    assert metrics.top1_interval == pytest.approx((0.3006, 0.9544), abs=5e-5)
    assert metrics.macro_precision == pytest.approx((1 + 2 / 3) / 2)
    assert metrics.macro_recall == metrics.mean_per_class == pytest.approx(0.75)
    assert metrics.macro_f1 == pytest.approx((2 / 3 + 0.8) / 2)
    assert metrics.auroc == 1.0
    assert metrics.confusion.tolist() == [[1, 1], [0, 2]]
    assert metrics.brier == pytest.approx(2 * (0.04 + 0.36 + 0.01 + 0.09) / 4)
    assert metrics.ece == pytest.approx((0.2 + 0.6 + 0.1 + 0.3) / 4)  # each image alone in its bin


@pytest.mark.parametrize(("n", "k"), [(40, 2), (60, 3), (300, 7)])
def test_agrees_with_scikit_learn(n: int, k: int) -> None:
    labels, probabilities = random_case(n, k)
    metrics, predicted = evaluate_predictions(labels, probabilities), probabilities.argmax(axis=1)
    assert metrics.top1 == pytest.approx(sk.accuracy_score(labels, predicted))
    assert metrics.loss == pytest.approx(sk.log_loss(labels, probabilities))
    assert metrics.mean_per_class == pytest.approx(sk.balanced_accuracy_score(labels, predicted))
    assert metrics.macro_f1 == pytest.approx(sk.f1_score(labels, predicted, average="macro"))
    assert metrics.macro_precision == pytest.approx(sk.precision_score(labels, predicted, average="macro"))
    assert (metrics.confusion == sk.confusion_matrix(labels, predicted)).all()
    scores = probabilities[:, 1] if k == 2 else probabilities
    assert metrics.auroc == pytest.approx(sk.roc_auc_score(labels, scores, multi_class="ovr"))
    if k > 5:
        assert metrics.top5 == pytest.approx(sk.top_k_accuracy_score(labels, probabilities, k=5))
    report = sk.classification_report(labels, predicted, output_dict=True)
    for row in metrics.per_class:
        expected = report[str(row.index)]
        assert (row.precision, row.recall, row.f1, row.n) == pytest.approx(
            (expected["precision"], expected["recall"], expected["f1-score"], expected["support"])
        )
        assert row.recall_interval[0] <= row.recall <= row.recall_interval[1]


def test_a_class_without_images() -> None:
    labels, probabilities = random_case(60, 4, missing=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        metrics = evaluate_predictions(labels, probabilities)
    absent = metrics.per_class[2]
    assert (absent.n, absent.recall, absent.auroc, absent.recall_interval) == (0, 0.0, None, (0.0, 1.0))
    present = [row for row in metrics.per_class if row.n]
    assert metrics.mean_per_class == pytest.approx(np.mean([row.recall for row in present]))
    assert metrics.auroc == pytest.approx(np.mean([row.auroc for row in present]))
    predicted = probabilities.argmax(axis=1)
    assert metrics.macro_f1 == pytest.approx(sk.f1_score(labels, predicted, average="macro", zero_division=0))
    assert metrics.confusion.shape == (4, 4)


def test_auroc_of_each_class_counts_ties_half() -> None:
    generator = np.random.default_rng(0)
    labels = generator.integers(5, size=80)
    probabilities = generator.permuted(np.tile([0.5, 0.25, 0.125, 0.0625, 0.0625], (80, 1)), axis=1)
    for row in evaluate_predictions(labels, probabilities).per_class:
        expected = sk.roc_auc_score(labels == row.index, probabilities[:, row.index])
        assert row.auroc == pytest.approx(expected, abs=1e-12)


def test_one_class_only_has_no_auroc() -> None:
    metrics = evaluate_predictions(np.array([1, 1]), np.array([[0.1, 0.9], [0.6, 0.4]]))
    assert metrics.auroc is None
    assert metrics.mean_per_class == metrics.top1 == 0.5
    assert json.loads(json.dumps(metrics.as_dict()))["auroc"] is None


def test_equal_probabilities_rank_by_class_index() -> None:
    metrics = evaluate_predictions(np.array([0, 4, 5, 9]), np.full((4, 10), 0.1))
    assert (metrics.top1, metrics.top5) == (0.25, 0.5)


def test_a_certain_mistake_costs_a_finite_loss() -> None:
    metrics = evaluate_predictions(np.array([0]), np.array([[0.0, 1.0]]))
    assert 30 < metrics.loss < 40


def test_float32_rows_need_not_sum_to_one_exactly() -> None:
    labels, probabilities = random_case(50, 6)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        metrics = evaluate_predictions(labels, probabilities.astype(np.float32))
    assert metrics.loss == pytest.approx(evaluate_predictions(labels, probabilities).loss, rel=1e-6)


def test_headline_is_plain_json() -> None:
    metrics = evaluate_predictions(*random_case(20, 3))
    headline = metrics.as_dict()
    assert json.loads(json.dumps(headline)) == headline
    assert list(headline) == [
        "n", "loss", "top1", "top1_interval", "top5", "mean_per_class",
        "macro_precision", "macro_recall", "macro_f1", "auroc",
    ]  # fmt: skip
    assert headline["top1_interval"] == list(metrics.top1_interval)


def test_no_images_are_refused() -> None:
    with pytest.raises(DataError, match="nothing to evaluate: got 0 images"):
        evaluate_predictions(np.zeros(0, dtype=np.int64), np.zeros((0, 3)))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_predictions_that_are_not_finite_are_refused(bad: float) -> None:
    labels, probabilities = random_case(5, 3)
    probabilities[2, 1] = bad
    with pytest.raises(NumericsError, match="1 of 5 images"):
        evaluate_predictions(labels, probabilities)


@pytest.mark.parametrize("label", [-1, 3])
def test_labels_of_other_classes_are_refused(label: int) -> None:
    labels, probabilities = random_case(5, 3)
    labels[0] = label
    with pytest.raises(DataError, match="beyond the model's classes"):
        evaluate_predictions(labels, probabilities)
