import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import softmax
from scipy.stats import binomtest

from finegrain.errors import DataError, NumericsError
from finegrain.metrics.selection import (
    COVERAGES,
    ConformalSets,
    clopper_lower,
    fit_conformal,
    risk_coverage,
    set_quality,
    threshold_for,
)


def drawn(n: int, seed: int, *, k: int = 6) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Labels drawn from a softmax, and a softmax that is too sure."""
    generator = np.random.default_rng(seed)
    logits = 2 * generator.normal(size=(n, k))
    labels = (softmax(logits, axis=1).cumsum(axis=1) < generator.random((n, 1))).sum(axis=1)
    return np.minimum(labels, k - 1), softmax(2 * logits, axis=1)


def answers(n: int, seed: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Confidences, and answers that are right with just that probability."""
    generator = np.random.default_rng(seed)
    confidences = 0.5 + generator.random(n) / 2
    return confidences, generator.random(n) < confidences


def test_risk_and_coverage_by_hand() -> None:
    curve = risk_coverage(np.array([0.6, 0.9, 0.8, 0.8]), np.array([False, True, False, True]))
    assert curve.thresholds.tolist() == [0.9, 0.8, 0.6]
    assert curve.coverage.tolist() == [0.25, 0.75, 1.0]
    assert curve.risk == pytest.approx([0, 1 / 3, 1 / 2])
    # The two of equal confidence come in either order: 0, (1/2)/2, 1/3 and 2/4 are the mean risks.
    assert curve.aurc == pytest.approx((0 + 1 / 4 + 1 / 3 + 1 / 2) / 4)


def test_ends_of_the_curve() -> None:
    confidences, hits = answers(500, 0)
    curve = risk_coverage(confidences, hits)
    assert (curve.coverage[-1], curve.risk[-1]) == pytest.approx((1, 1 - hits.mean()))
    assert risk_coverage(np.ones(500), hits).aurc == pytest.approx(1 - hits.mean())
    assert risk_coverage(hits.astype(float), hits).aurc < curve.aurc < 1 - hits.mean()
    assert risk_coverage(confidences, np.ones(500, dtype=bool)).aurc == 0


def test_the_risk_read_off_is_that_of_at_least_the_coverage() -> None:
    risk = risk_coverage(np.array([0.6, 0.9, 0.8, 0.8]), np.array([False, True, False, True])).read_off()
    assert dict(zip(COVERAGES, risk, strict=True)) == pytest.approx(
        {c: 0 if c <= 0.25 else 1 / 3 if c <= 0.75 else 1 / 2 for c in COVERAGES}
    )
    assert (COVERAGES[0], COVERAGES[-1]) == (0.05, 1)


def test_order_of_images_and_scale_of_confidence_change_nothing() -> None:
    confidences, hits = answers(300, 0)
    confidences = confidences.round(2)
    order = np.random.default_rng(0).permutation(300)
    curve, shuffled = risk_coverage(confidences, hits), risk_coverage(confidences[order], hits[order])
    assert (curve.risk == shuffled.risk).all()
    assert curve.aurc == shuffled.aurc == risk_coverage(confidences**3, hits).aurc


@pytest.mark.parametrize(("successes", "n"), [(0, 5), (1, 5), (5, 5), (180, 200)])
def test_lower_bound_agrees_with_scipy(successes: int, n: int) -> None:
    expected = binomtest(successes, n, alternative="greater").proportion_ci(0.95, method="exact").low
    assert clopper_lower(successes, n) == pytest.approx(expected)


def test_threshold_is_what_it_says() -> None:
    confidences, hits = answers(3000, 0)
    found = threshold_for(0.85, confidences, hits)
    assert found is not None
    answered = confidences >= found.confidence
    assert (found.coverage, found.accuracy) == pytest.approx((answered.mean(), hits[answered].mean()))
    steps = math.ceil(math.log2(3000))
    bound = clopper_lower(int(hits[answered].sum()), int(answered.sum()), 1 - 0.05 / steps)
    assert found.lower_bound == pytest.approx(bound)
    assert found.lower_bound >= 0.85
    assert found.coverage > 0.25  # Confidence 0.7 and more, 60 % of the images, are right in 85 %.


def test_threshold_keeps_its_promise() -> None:
    broken = 0
    for seed in range(300):
        found = threshold_for(0.8, *answers(400, seed), confidence=0.9)
        # From confidence c on, (c + 1)/2 are right.
        broken += found is not None and (found.confidence + 1) / 2 < 0.8
    assert broken / 300 <= 0.1


def test_threshold_that_cannot_be_promised() -> None:
    assert threshold_for(0.9, *answers(20, 0)) is None
    assert threshold_for(0.9, np.array([0.5]), np.array([False])) is None
    assert threshold_for(0.99, np.full(500, 0.7), np.arange(500) > 0.02 * 500) is None


def test_threshold_of_equal_confidences_answers_all() -> None:
    found = threshold_for(0.9, np.full(500, 0.7), np.ones(500, dtype=bool))
    assert found is not None
    assert (found.confidence, found.coverage, found.accuracy) == (0.7, 1.0, 1.0)


def test_limit_by_hand() -> None:
    # Scores of the true class, 1 − p: 0.1, 0.2, ... 0.9.
    p = np.arange(9, 0, -1) / 10
    probabilities = np.column_stack([p, 1 - p])
    labels = np.zeros(9, dtype=np.int64)
    fitted = fit_conformal(labels, probabilities, coverage=0.5)
    assert fitted.limit == pytest.approx(0.5)  # The fifth of nine.
    assert fit_conformal(labels, probabilities, coverage=0.9).limit == pytest.approx(0.9)
    assert fit_conformal(labels, probabilities, coverage=0.91).limit == math.inf


def test_sets_by_hand() -> None:
    probabilities = np.array([[0.5, 0.3, 0.2], [0.98, 0.01, 0.01], [0.25, 0.35, 0.4]])
    sets = ConformalSets(coverage=0.9, limit=0.7).sets(probabilities)
    assert sets.tolist() == [[True, True, False], [True, False, False], [False, True, True]]
    assert ConformalSets(coverage=0.9, limit=math.inf).sets(probabilities).all()
    narrow = ConformalSets(coverage=0.1, limit=0.0).sets(probabilities)
    assert narrow.sum(axis=1).tolist() == [1, 1, 1]


def test_sets_hold_the_true_class_as_often_as_promised() -> None:
    coverages = []
    for seed in range(60):
        fitted = fit_conformal(*drawn(99, seed), coverage=0.9)
        labels, probabilities = drawn(500, 1000 + seed)
        coverages.append(set_quality(labels, fitted.sets(probabilities)).coverage)
    assert 0.89 <= np.mean(coverages) <= 0.92


def test_quality_by_hand() -> None:
    sets = np.array([[True, True, False], [False, True, False]])
    quality = set_quality(np.array([1, 2]), sets)
    assert (quality.coverage, quality.mean_size) == (0.5, 1.5)
    assert quality.interval == pytest.approx((0.0945, 0.9055), abs=5e-5)


def test_rows_are_made_to_sum_to_one() -> None:
    labels, probabilities = drawn(200, 0)
    fitted = fit_conformal(labels, probabilities)
    assert fit_conformal(labels, probabilities * 0.5).limit == pytest.approx(fitted.limit)
    assert (fitted.sets(probabilities * 0.5) == fitted.sets(probabilities)).all()


def test_what_cannot_be_used_is_refused() -> None:
    with pytest.raises(NumericsError, match="1 of 2"):
        risk_coverage(np.array([0.5, np.nan]), np.array([True, False]))
    with pytest.raises(NumericsError, match="hits that are not finite"):
        threshold_for(0.9, np.array([0.5, 0.6]), np.array([1, np.nan]))
    with pytest.raises(DataError, match="different images"):
        risk_coverage(np.array([0.5, 0.6]), np.array([True]))
    with pytest.raises(DataError, match="0 images"):
        fit_conformal(np.zeros(0, dtype=np.int64), np.zeros((0, 3)))
    with pytest.raises(NumericsError, match="1 of 2 images"):
        fit_conformal(np.array([0, 1]), np.array([[0.5, 0.5], [np.nan, 1.0]]))
    with pytest.raises(DataError, match="different images"):
        set_quality(np.array([0]), np.ones((2, 3), dtype=bool))
    for wanted in (0.0, 1.0, np.nan):
        with pytest.raises(ValueError, match="no accuracy"):
            threshold_for(wanted, np.array([0.5]), np.array([True]))
        with pytest.raises(ValueError, match="no coverage"):
            fit_conformal(np.array([0]), np.array([[1.0, 0.0]]), coverage=wanted)
