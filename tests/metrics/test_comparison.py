import dataclasses

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from finegrain.errors import DataError, NumericsError
from finegrain.metrics.comparison import (
    Comparison,
    as_family,
    compare_folds,
    compare_models,
    compare_runs,
    corrected_t_test,
    holm,
    mcnemar,
    smallest_detectable,
)
from finegrain.metrics.crossed import crossed_error

LABELS = np.arange(200) % 8


def models(only_first: int, only_second: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Two models on 200 images, right together on the others."""
    first, second = np.ones(200, dtype=bool), np.ones(200, dtype=bool)
    second[:only_first], first[only_first : only_first + only_second] = False, False
    return first, second


def made(**changes: object) -> Comparison:
    plain = Comparison(difference=0.1, interval=(0.05, 0.15), p=0.01, adjusted_p=0.01, error=(0.02, 30), method="")
    return dataclasses.replace(plain, **changes)


@pytest.mark.parametrize(("only_first", "only_second"), [(12, 3), (3, 12), (5, 5), (6, 0), (1, 0), (40, 21)])
def test_mcnemar_agrees_with_the_sign_test(only_first: int, only_second: int) -> None:
    result = mcnemar(*models(only_first, only_second))
    assert (result.only_first, result.only_second) == (only_first, only_second)
    assert result.p == pytest.approx(stats.binomtest(only_first, only_first + only_second).pvalue)


def test_corrected_t_test_golden_values() -> None:
    scores = np.array([0.5, 0.6, 0.9, 0.4, 0.6])
    assert corrected_t_test(scores - 0.5, test_ratio=1 / 4) == pytest.approx(0.47018, abs=5e-6)
    assert 2 * stats.t.sf(0.79682, 4) == pytest.approx(0.47018, abs=1e-5)
    assert corrected_t_test(scores - 0.5, test_ratio=0) == pytest.approx(0.29801, abs=5e-6)
    assert corrected_t_test(scores - 0.5, test_ratio=0) == pytest.approx(stats.ttest_1samp(scores, 0.5).pvalue)


def test_corrected_t_of_the_golden_value() -> None:
    scores = np.array([0.5, 0.6, 0.9, 0.4, 0.6])
    for ratio, t in ((1 / 4, 0.79682), (0.0, 1.19523)):
        p = corrected_t_test(scores - 0.5, test_ratio=ratio)
        assert p is not None
        assert stats.t.isf(p / 2, 4) == pytest.approx(t, abs=5e-6)


def test_differences_without_spread() -> None:
    assert corrected_t_test(np.zeros(5), test_ratio=0.25) == 1.0
    assert corrected_t_test(np.full(5, 0.1), test_ratio=0.25) is None
    assert corrected_t_test(np.array([0.1]), test_ratio=0.25) is None


def test_holm_by_hand() -> None:
    # Sorted 0.005, 0.01, 0.03, 0.04 times 4, 3, 2, 1, never falling.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx((0.03, 0.06, 0.06, 0.02))
    assert holm([0.8, 0.9]) == (1.0, 1.0)
    assert holm([]) == ()


def test_holm_counts_what_said_nothing() -> None:
    assert holm([0.01, None, 0.02]) == (pytest.approx(0.03), None, pytest.approx(0.04))


@pytest.mark.parametrize("p", [-0.1, 1.1, np.nan])
def test_holm_refuses_what_is_no_p_value(p: float) -> None:
    with pytest.raises(ValueError, match="no p values"):
        holm([0.5, p])


def test_smallest_detectable_by_hand() -> None:
    assert smallest_detectable((1.0, np.inf)) == pytest.approx(1.959964 + 0.841621, abs=1e-6)
    assert smallest_detectable((0.02, 4)) == pytest.approx(0.02 * (2.776445 + 0.940965), abs=1e-6)
    with pytest.raises(ValueError, match="no test"):
        smallest_detectable((1.0, 4), power=1.0)


def test_smallest_detectable_is_detected_four_times_in_five() -> None:
    # One in ten images differs between the models; the counts of the two sides follow.
    generator, n, discordant = np.random.default_rng(0), 2000, 0.1
    smallest = smallest_detectable(((discordant / n) ** 0.5, np.inf))
    sides = [(discordant + smallest) / 2, (discordant - smallest) / 2, 1 - discordant]
    found = [
        mcnemar(np.arange(first + second) < first, np.arange(first + second) >= first).p <= 0.05
        for first, second, _ in generator.multinomial(n, sides, size=1000)
    ]
    assert 0.76 <= np.mean(found) <= 0.84


def test_in_a_family_the_smallest_difference_is_shown_four_times_in_five() -> None:
    """Judged as it is printed: one recipe of four is better by what the family can show, the others by nothing."""
    generator, cells, size, repeats = np.random.default_rng(0), 40, 4, 1000
    smallest = smallest_detectable((1 / cells**0.5, cells - 1), alpha=0.05 / size)
    shown, printed, alone = [], [], []
    for _ in range(repeats):
        scores = generator.normal(size=(size, cells)) + np.array([[smallest], [0], [0], [0]])
        family = as_family([compare_folds(row, np.zeros(cells), test_ratio=0) for row in scores])
        shown.append(family[0].verdict() == "better")
        printed.append(family[0].smallest)
        alone.append(made(error=family[0].error).smallest)
    assert 0.76 <= np.mean(shown) <= 0.84
    assert np.mean(printed) == pytest.approx(smallest, rel=0.02)
    assert np.mean(alone) < 0.85 * smallest  # what one comparison could show, the strictest of four cannot


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "better"),
        ({"difference": -0.1, "interval": (-0.15, -0.05)}, "worse"),
        ({"adjusted_p": 0.06}, "no evidence"),
        ({"interval": (-0.01, 0.2)}, "no evidence"),
        ({"interval": (0.0, 0.2)}, "no evidence"),
        ({"adjusted_p": None}, "no evidence"),
        ({"interval": None}, "better"),
    ],
)
def test_verdict(changes: dict[str, object], expected: str) -> None:
    assert made(**changes).verdict() == expected


def test_level_of_the_verdict() -> None:
    assert made(adjusted_p=0.01).verdict(alpha=0.001) == "no evidence"


def test_a_family_is_judged_by_holm() -> None:
    family = as_family([made(p=0.03), made(p=0.001), made(p=None, adjusted_p=None)])
    assert [c.adjusted_p for c in family] == [pytest.approx(0.06), pytest.approx(0.003), None]
    assert [c.verdict() for c in family] == ["no evidence", "better", "no evidence"]
    assert [c.p for c in family] == [0.03, 0.001, None]


def test_two_models() -> None:
    first, second = models(30, 5)
    comparison, reverse = compare_models(first, second, LABELS), compare_models(second, first, LABELS)
    assert comparison.difference == pytest.approx(25 / 200)
    assert comparison.p == pytest.approx(stats.binomtest(30, 35).pvalue)
    assert (comparison.verdict(), reverse.verdict()) == ("better", "worse")
    assert comparison.interval is not None
    assert comparison.interval == pytest.approx((0.07, 0.18), abs=0.015)
    error = crossed_error((first.astype(float) - second)[None], LABELS)
    assert error is not None
    assert comparison.smallest == pytest.approx(error.of_images * 2.815, rel=0.001)


def test_identical_models_are_no_evidence() -> None:
    first, _ = models(10, 5)
    runs, folds = np.stack([first, ~first]), np.array([0.5, 0.7, 0.6])
    for comparison in (
        compare_models(first, first, LABELS),
        compare_runs(runs, runs, LABELS),
        compare_folds(folds, folds, test_ratio=0.5),
    ):
        assert (comparison.difference, comparison.p, comparison.interval) == (0.0, 1.0, None)
        assert comparison.smallest is None
        assert comparison.verdict() == "no evidence"


def test_order_of_images_changes_nothing() -> None:
    first, second = models(12, 4)
    order = np.random.default_rng(0).permutation(200)
    one, other = (compare_models(first[o], second[o], LABELS[o]) for o in (np.arange(200), order))
    assert (one.interval, one.p) == (other.interval, other.p)
    assert one.smallest == pytest.approx(other.smallest)
    runs, others = np.stack([first, second]), np.stack([second, second])
    one, other = (compare_runs(runs[:, o], others[:, o], LABELS[o]) for o in (np.arange(200), order))
    assert one.p == pytest.approx(other.p)
    assert one.interval == pytest.approx(other.interval)


def test_one_training_says_nothing_of_another() -> None:
    first, second = models(30, 0)
    comparison = compare_runs(first[None], second[None], LABELS)
    assert (comparison.p, comparison.interval, comparison.smallest) == (None, None, None)
    assert comparison.verdict() == "no evidence"
    assert compare_models(first, second, LABELS).verdict() == "better"


def test_seeds_that_disagree_are_no_evidence_where_one_would_be() -> None:
    first, second = models(30, 5)
    disagreeing = np.stack([first, second, first]), np.stack([second, first, second])
    assert compare_models(first, second, LABELS).verdict() == "better"
    assert compare_runs(*disagreeing, LABELS).verdict() == "no evidence"
    agreeing = np.stack([first] * 3), np.stack([second] * 3)
    comparison = compare_runs(*agreeing, LABELS)
    assert comparison.verdict() == "better"
    assert comparison.interval == pytest.approx(compare_models(first, second, LABELS).interval, abs=0.01)


def test_runs_of_equal_recipes_are_told_apart_by_chance_alone() -> None:
    generator, labels, wrong, pooled, repeats = np.random.default_rng(0), np.zeros(300, dtype=int), 0, 0, 500
    for _ in range(repeats):
        ease = 2 * generator.normal(size=300)
        runs = 1 + 0.3 * generator.normal(size=(2, 3, 1)) + ease + generator.normal(size=(2, 3, 300)) > 0
        wrong += compare_runs(runs[0], runs[1], labels).verdict() != "no evidence"
        pooled += mcnemar(runs[0].ravel(), runs[1].ravel()).p <= 0.05
    assert wrong / repeats <= 0.06
    assert pooled / repeats > 0.15  # Runs taken for images.


def test_folds() -> None:
    first, second = np.array([0.9, 0.8, 0.85, 0.95, 0.9]), np.array([0.5, 0.42, 0.4, 0.55, 0.55])
    comparison = compare_folds(first, second, test_ratio=0.25)
    assert comparison.difference == pytest.approx(0.396)
    assert comparison.p == corrected_t_test(first - second, test_ratio=0.25)
    error = (first - second).std(ddof=1) * (1 / 5 + 1 / 4) ** 0.5
    assert comparison.smallest == pytest.approx(error * (2.776445 + 0.940965), rel=1e-6)
    assert comparison.verdict() == "better"
    assert compare_folds(first, first - 0.01, test_ratio=0.25).verdict() == "no evidence"


def test_pairs_that_do_not_fit_are_refused() -> None:
    first, second = models(3, 4)
    with pytest.raises(DataError, match=r"no pairs to compare: got shapes \[200\] and \[199\]"):
        mcnemar(first, second[1:])
    with pytest.raises(DataError, match="different images"):
        compare_models(first, second, LABELS[1:])
    with pytest.raises(NumericsError, match="scores of the second that are not finite: got 1 of 2"):
        compare_folds(np.array([0.5, 0.6]), np.array([0.5, np.nan]), test_ratio=0.25)
