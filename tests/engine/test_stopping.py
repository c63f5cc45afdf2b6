import json
import math

import pytest

from finegrain.engine.stopping import Best


def bests(best: Best, values: list[float]) -> list[int]:
    """Epochs, from 1, that were the best when they came."""
    return [epoch for epoch, value in enumerate(values, start=1) if best.update(value, epoch)]


def test_largest_and_smallest() -> None:
    values = [0.5, 0.7, 0.6, 0.8, 0.1]
    assert bests(Best(mode="max"), values) == [1, 2, 4]
    assert bests(Best(mode="min"), values) == [1, 5]


def test_of_equal_values_the_earliest() -> None:
    best = Best()
    assert bests(best, [0.0, 0.0, 0.0]) == [1]
    assert best.epoch == 1


@pytest.mark.parametrize("mode", ["max", "min"])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_never_best(mode: str, bad: float) -> None:
    best = Best(mode=mode)  # type: ignore[arg-type]
    assert bests(best, [bad, 0.3, bad]) == [2]
    assert (best.value, best.epoch) == (0.3, 2)


def test_nothing_but_nan_has_no_best_and_runs_out_of_patience() -> None:
    best = Best(patience=2)
    assert bests(best, [math.nan, math.nan]) == []
    assert best.epoch is None
    assert best.exhausted


def test_patience_counts_from_the_last_best() -> None:
    best, exhausted = Best(patience=2), []
    for epoch, value in enumerate([0.1, 0.0, 0.2, 0.2, 0.1]):
        best.update(value, epoch)
        exhausted.append(best.exhausted)
    assert exhausted == [False, False, False, False, True]


def test_without_patience_never_exhausted() -> None:
    best = Best()
    bests(best, [1.0] + [0.0] * 100)
    assert not best.exhausted


@pytest.mark.parametrize("values", [[], [math.nan], [0.5, 0.4, 0.6, 0.1]])
def test_resumes(values: list[float]) -> None:
    best = Best(patience=3)
    bests(best, values)
    resumed = Best(patience=3)
    resumed.load_state_dict(json.loads(json.dumps(best.state_dict(), allow_nan=False)))
    assert resumed == best
