from dataclasses import dataclass, replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.metrics import log_loss

from finegrain.errors import NumericsError
from finegrain.metrics.calibration import as_logits, brier, ece, fit_temperature, reliability, scale
from finegrain.metrics.confidence import Calibration, Promises, judge_confidence
from finegrain.metrics.intervals import wilson
from finegrain.metrics.selection import fit_conformal, risk_coverage, set_quality, threshold_for


@dataclass(frozen=True)
class Said:
    labels: NDArray[np.int64]
    probabilities: NDArray[np.float64]

    @property
    def confidences(self) -> NDArray[np.float64]:
        return self.probabilities.max(axis=1)

    @property
    def hits(self) -> NDArray[np.bool_]:
        return self.probabilities.argmax(axis=1) == self.labels


def said(n: int, seed: int, *, k: int = 5, scale_of_logits: float = 4.0) -> Said:
    """Answers of a model that is twice as sure as it may be."""
    generator = np.random.default_rng(seed)
    logits = scale_of_logits * generator.normal(size=(n, k))
    labels = (softmax(logits, axis=1).cumsum(axis=1) < generator.random((n, 1))).sum(axis=1)
    return Said(np.minimum(labels, k - 1), softmax(2 * logits, axis=1))


VAL, TEST = said(600, 0), said(900, 1)


def test_everything_is_fitted_on_val_alone() -> None:
    found, other = (judge_confidence(val=VAL, test=test) for test in (TEST, said(50, 2)))
    assert found.test != other.test
    for name in ("val_images", "temperature", "val", "threshold", "sets"):
        assert getattr(found, name) == getattr(other, name), name
    assert judge_confidence(val=said(600, 3), test=TEST).temperature != found.temperature
    assert found.temperature == fit_temperature(VAL.labels, as_logits(VAL.probabilities))
    assert found.threshold == threshold_for(0.95, VAL.confidences, VAL.hits)
    assert found.sets == fit_conformal(VAL.labels, VAL.probabilities, coverage=0.9)
    assert found.val_images == 600


def test_another_promise_moves_threshold_and_sets_and_nothing_else() -> None:
    plain, asked = (
        judge_confidence(val=VAL, test=TEST, promises=promises)
        for promises in (None, Promises(accuracy=0.8, coverage=0.7))
    )
    assert (plain.wanted_accuracy, asked.wanted_accuracy) == (0.95, 0.8)
    expected = threshold_for(0.8, VAL.confidences, VAL.hits)
    assert asked.threshold == replace(expected, confidence=pytest.approx(expected.confidence))
    assert asked.threshold.confidence < plain.threshold.confidence
    assert asked.sets == fit_conformal(VAL.labels, VAL.probabilities, coverage=0.7)
    assert asked.set_quality.mean_size < plain.set_quality.mean_size
    assert (asked.temperature, asked.risk) == (plain.temperature, plain.risk)


def test_both_splits_are_judged_before_and_after_the_temperature() -> None:
    found = judge_confidence(val=VAL, test=TEST)
    for split, scaling in ((VAL, found.val), (TEST, found.test)):
        scaled = scale(as_logits(split.probabilities), found.temperature)
        for probabilities, judged in ((split.probabilities, scaling.before), (scaled, scaling.after)):
            assert judged.loss == pytest.approx(log_loss(split.labels, probabilities))
            assert judged.ece == pytest.approx(ece(split.labels, probabilities))
            assert judged.brier == pytest.approx(brier(split.labels, probabilities))
            assert [b.count for b in judged.reliability] == [b.count for b in reliability(split.labels, probabilities)]
    assert found.temperature == pytest.approx(2, rel=0.2)
    assert found.test.after.ece < found.test.before.ece / 2


def test_what_was_fitted_is_tried_on_test() -> None:
    found = judge_confidence(val=VAL, test=TEST)
    assert found.threshold is not None
    assert found.answered is not None
    given = TEST.confidences >= found.threshold.confidence
    right = int(TEST.hits[given].sum())
    assert (found.answered.coverage, found.answered.accuracy) == (given.mean(), TEST.hits[given].mean())
    assert found.answered.interval == wilson(right, int(given.sum()))
    assert found.set_quality == set_quality(TEST.labels, found.sets.sets(TEST.probabilities))
    curve = risk_coverage(TEST.confidences, TEST.hits)
    assert (found.risk, found.aurc) == (curve.read_off(), curve.aurc)


def test_few_images_of_val_promise_nothing() -> None:
    found = judge_confidence(val=said(6, 0), test=TEST)
    assert found.threshold is found.answered is None
    assert found.sets.limit == np.inf
    assert found.set_quality.mean_size == 5
    assert isinstance(judge_confidence(val=said(1, 0), test=said(1, 1)).test.after, Calibration)


def test_a_threshold_that_no_test_image_reaches() -> None:
    unsure = replace(TEST, probabilities=np.full((900, 5), 0.2))
    found = judge_confidence(val=VAL, test=unsure)
    assert found.threshold is not None
    assert found.answered is None


def test_predictions_that_are_not_finite_are_refused() -> None:
    broken = replace(TEST, probabilities=np.full((900, 5), np.nan))
    for splits in ({"val": VAL, "test": broken}, {"val": broken, "test": TEST}):
        with pytest.raises(NumericsError, match="900 of 900 images"):
            judge_confidence(**splits)
