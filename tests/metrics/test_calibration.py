import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.metrics import brier_score_loss, log_loss

from finegrain.errors import DataError, NumericsError
from finegrain.metrics.calibration import as_logits, brier, ece, fit_temperature, reliability, scale
from finegrain.metrics.intervals import wilson


def drawn(n: int, *, sharpness: float = 1.0, k: int = 5) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Labels drawn from the softmax of logits, and the logits times `sharpness`: calibrated at 1, too sure above."""
    generator = np.random.default_rng(n)
    logits = 2 * generator.normal(size=(n, k))
    labels = (softmax(logits, axis=1).cumsum(axis=1) < generator.random((n, 1))).sum(axis=1)
    return np.minimum(labels, k - 1), logits * sharpness


def two_classes(confidences: list[float]) -> NDArray[np.float64]:
    """Predictions of class 0."""
    return np.array([[c, 1 - c] for c in confidences])


def test_reliability_by_hand() -> None:
    labels = np.array([0, 1, 0, 0, 0])
    table = reliability(labels, two_classes([0.55, 0.6, 0.75, 0.8, 1.0]), bins=5)
    assert [b.low for b in table] == pytest.approx([0, 0.2, 0.4, 0.6, 0.8])
    assert [b.high for b in table] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1])
    assert [b.count for b in table] == [0, 0, 2, 2, 1]  # An edge belongs to the bin below it.
    assert [b.confidence for b in table[2:]] == pytest.approx([0.575, 0.775, 1.0])
    assert [b.accuracy for b in table[2:]] == [0.5, 1.0, 1.0]
    assert [b.interval for b in table[2:]] == [wilson(1, 2), wilson(2, 2), wilson(1, 1)]
    assert (table[0].confidence, table[0].accuracy, table[0].interval) == (None, None, (0.0, 1.0))


def test_ece_by_hand() -> None:
    labels = np.array([0, 1, 0, 0, 0])
    probabilities = two_classes([0.55, 0.6, 0.75, 0.8, 1.0])
    assert ece(labels, probabilities, bins=5) == pytest.approx((2 * 0.075 + 2 * 0.225) / 5)
    assert ece(labels, probabilities, bins=1) == pytest.approx(abs(0.8 - 0.74))


def test_ece_has_fifteen_bins() -> None:
    labels, logits = drawn(500, sharpness=2)
    probabilities = softmax(logits, axis=1)
    assert len(reliability(labels, probabilities)) == 15
    assert ece(labels, probabilities) == ece(labels, probabilities, bins=15) != ece(labels, probabilities, bins=14)


def test_ece_of_calibrated_and_of_too_sure_predictions() -> None:
    labels, logits = drawn(20_000)
    assert ece(labels, scale(logits, 1.0)) < 0.01
    assert ece(labels, scale(logits, 0.5)) > 0.08


def test_brier_agrees_with_scikit_learn() -> None:
    labels, logits = drawn(300)
    probabilities = softmax(logits, axis=1)
    assert brier(labels, probabilities) == pytest.approx(brier_score_loss(labels, probabilities, scale_by_half=False))
    assert brier(np.array([0, 1]), np.array([[0.8, 0.2], [1.0, 0.0]])) == pytest.approx((2 * 0.04 + 2) / 2)


def test_order_of_images_changes_nothing() -> None:
    labels, logits = drawn(300)
    order = np.random.default_rng(0).permutation(300)
    probabilities = softmax(logits, axis=1)
    for figure in (ece, brier):
        assert figure(labels, probabilities) == pytest.approx(figure(labels[order], probabilities[order]), abs=1e-12)


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 3.0])
def test_temperature_is_recovered(sharpness: float) -> None:
    labels, logits = drawn(20_000, sharpness=sharpness)
    assert fit_temperature(labels, logits) == pytest.approx(sharpness, rel=0.04)


@pytest.mark.parametrize("n", [1, 2, 30, 400])
def test_temperature_is_the_best_on_val(n: int) -> None:
    labels, logits = drawn(n, sharpness=2.5)
    temperature = fit_temperature(labels, logits)

    def loss(t: float) -> float:
        return float(log_loss(labels, scale(logits, t), labels=np.arange(5)))

    assert loss(temperature) <= loss(1.0)
    assert all(loss(temperature) <= loss(t) + 1e-9 for t in np.geomspace(0.06, 19, 40))


def test_temperature_of_val_without_a_mistake_is_bounded() -> None:
    logits = np.array([[3.0, 0.0], [0.0, 2.0]])
    assert fit_temperature(np.array([0, 1]), logits) == pytest.approx(0.05, rel=0.15)  # Flat there to the last bit.
    assert fit_temperature(np.array([1, 0]), logits) == pytest.approx(20, rel=0.01)
    assert fit_temperature(np.array([0, 1]), np.zeros((2, 3))) == 1.0


def test_scaling_keeps_the_order_and_takes_probabilities_for_logits() -> None:
    labels, logits = drawn(50)
    probabilities = softmax(logits, axis=1)
    assert scale(as_logits(probabilities), 1.0) == pytest.approx(probabilities)
    assert scale(as_logits(probabilities), 1.7) == pytest.approx(softmax(logits / 1.7, axis=1))
    assert fit_temperature(labels, as_logits(probabilities)) == pytest.approx(fit_temperature(labels, logits), rel=1e-4)
    assert (scale(logits, 3.0).argmax(axis=1) == logits.argmax(axis=1)).all()


def test_a_probability_of_zero_has_a_logit() -> None:
    logits = as_logits(np.array([[1.0, 0.0]], dtype=np.float32))
    assert np.isfinite(logits).all()
    assert scale(logits, 1.0) == pytest.approx(np.array([[1.0, 0.0]]))


def test_what_is_not_finite_is_refused() -> None:
    labels, logits = drawn(6)
    logits[3, 1] = np.nan
    with pytest.raises(NumericsError, match="logits that are not finite: got 1 of 6 images"):
        fit_temperature(labels, logits)
    for figure in (ece, brier, reliability):
        with pytest.raises(NumericsError, match="1 of 6 images"):
            figure(labels, logits)


def test_no_images_bins_or_temperatures_are_refused() -> None:
    nothing = np.zeros(0, dtype=np.int64), np.zeros((0, 3))
    for figure in (ece, brier, reliability, fit_temperature):
        with pytest.raises(DataError, match="0 images"):
            figure(*nothing)
    with pytest.raises(ValueError, match="no bins"):
        ece(np.array([0]), two_classes([0.6]), bins=0)
    for temperature in (0.0, -1.0, np.nan):
        with pytest.raises(ValueError, match="no temperature"):
            scale(two_classes([0.6]), temperature)
