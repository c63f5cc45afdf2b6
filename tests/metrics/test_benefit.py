"""The rule of the verdict on planted outcomes: what is called help, and what never is."""

from collections.abc import Mapping

import numpy as np
import pytest
from numpy.typing import NDArray

from finegrain.errors import DataError, NumericsError
from finegrain.metrics.benefit import ARMS, Arm, Benefit, benefit
from finegrain.metrics.comparison import Comparison
from finegrain.metrics.crossed import crossed_interval
from finegrain.metrics.statistics import Interval

LABELS = np.repeat(np.arange(10), 60)


def planted(accuracy: Mapping[str, float], *, seeds: int = 5, draw: int = 0) -> dict[Arm, NDArray[np.bool_]]:
    """Hits of every arm on the same images, easy and hard ones alike in all; 0.7 where no accuracy is given."""
    random = np.random.default_rng(draw)
    ease = random.random(len(LABELS))
    noise = {arm: random.normal(0, 0.05, (seeds, len(LABELS))) for arm in ARMS}
    return {arm: ease + noise[arm] < accuracy.get(arm, 0.7) for arm in ARMS}


def judged(**accuracy: float) -> Benefit:
    return benefit(planted({name.replace("_", " "): value for name, value in accuracy.items()}), LABELS)


@pytest.mark.parametrize(
    ("accuracy", "verdict", "reason"),
    [
        ({"synthetic": 0.8}, "helps", "better with the generated images than on real ones alone, than with as many"),
        ({"synthetic": 0.8, "shuffled": 0.6}, "helps", "better with"),
        ({"synthetic": 0.8, "shuffled": 0.8}, "no evidence", "The gain survives shuffled labels: it is regularisation"),
        ({"synthetic": 0.8, "shuffled": 0.9}, "no evidence", "survives shuffled labels"),
        ({"synthetic": 0.8, "duplicated": 0.8}, "no evidence", "than that of as many real images twice"),
        ({}, "no evidence", "The interval of the difference to real images alone holds 0."),
        ({"synthetic_only": 0.9}, "no evidence", "holds 0"),
        ({"synthetic": 0.6}, "hurts", "worse with the generated images than on real ones alone"),
        ({"synthetic": 0.6, "duplicated": 0.5, "shuffled": 0.5}, "hurts", "worse with"),
    ],
)
def test_planted(accuracy: dict[str, float], verdict: str, reason: str) -> None:
    result = judged(**accuracy)
    assert (result.verdict, result.seeds, result.images) == (verdict, 5, 600)
    assert reason in result.reason


def of_intervals(real: Interval, duplicated: Interval, shuffled: Interval, shuffled_real: Interval) -> Benefit:
    """Intervals of synthetic minus each control, and of shuffled minus real."""
    ends = {("synthetic", "real"): real, ("synthetic", "duplicated"): duplicated, ("synthetic", "shuffled"): shuffled}
    ends |= {("shuffled", "real"): shuffled_real}
    differences = {
        pair: Comparison(difference=0.02, interval=interval, p=None, adjusted_p=None, error=None, method="planted")
        for pair, interval in ends.items()
    }
    return Benefit(seeds=5, images=100, differences=differences)


def test_all_three_intervals_must_lie_above_0_and_no_mean_counts() -> None:
    above, around = (0.001, 0.04), (-0.001, 0.04)
    assert of_intervals(above, above, above, around).verdict == "helps"
    assert of_intervals(above, above, above, above).verdict == "helps"  # Labels add to what shuffled ones give.
    for place, reason in enumerate(("holds 0", "real images twice", "it may be regularisation")):
        ends = [above] * 3
        ends[place] = around
        result = of_intervals(*ends, around)
        assert (result.verdict, reason in result.reason) == ("no evidence", True)
    survives = of_intervals(above, above, around, above)
    assert (survives.verdict, "survives shuffled labels" in survives.reason) == ("no evidence", True)
    assert of_intervals((-0.04, -0.001), above, above, around).verdict == "hurts"


def test_differences_are_paired_over_seeds_and_images() -> None:
    hits = planted({"synthetic": 0.75})
    result = benefit(hits, LABELS)
    difference = hits["synthetic"].astype(float) - hits["real"]
    assert result.differences["synthetic", "real"].difference == pytest.approx(difference.mean())
    assert result.differences["synthetic", "real"].interval == pytest.approx(crossed_interval(difference, LABELS))
    assert set(result.differences) == {
        ("duplicated", "real"), ("synthetic", "real"), ("shuffled", "real"), ("synthetic only", "real"),
        ("synthetic", "duplicated"), ("shuffled", "duplicated"), ("synthetic only", "duplicated"),
        ("synthetic", "shuffled"),
    }  # fmt: skip


def test_equal_arms_are_hardly_ever_told_apart() -> None:
    verdicts = [benefit(planted({}, draw=draw), LABELS).verdict for draw in range(100)]
    assert verdicts.count("hurts") <= 7
    assert verdicts.count("helps") <= 3


def test_a_large_mean_of_one_seed_is_no_evidence() -> None:
    hits = planted({})
    for arm in ARMS:
        hits[arm] = hits["real"].copy()
    hits["synthetic"][0] = True
    result = benefit(hits, LABELS)
    assert result.differences["synthetic", "real"].difference > 0.05
    assert result.verdict == "no evidence"


def test_arms_that_are_all_the_same_show_nothing() -> None:
    hits = {arm: np.ones((5, len(LABELS)), dtype=bool) for arm in ARMS}
    assert benefit(hits, LABELS).verdict == "no evidence"


def test_few_seeds_have_no_verdict() -> None:
    with pytest.raises(DataError, match="too few paired seeds for a verdict: got 4; expected at least 5"):
        benefit(planted({}, seeds=4), LABELS)
    odd: dict[Arm, NDArray[np.bool_]] = planted({}) | {"shuffled": planted({}, seeds=6)["shuffled"]}
    with pytest.raises(DataError, match="no pairs to compare"):
        benefit(odd, LABELS)
    unknown = {arm: values.astype(float) for arm, values in planted({}).items()}
    unknown["real"][0, 0] = np.nan
    with pytest.raises(NumericsError, match="not finite"):
        benefit(unknown, LABELS)  # type: ignore[arg-type]
