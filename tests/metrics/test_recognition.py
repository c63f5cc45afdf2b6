import numpy as np
import pytest

from finegrain.metrics.comparison import compare_models, compare_runs
from finegrain.metrics.crossed import crossed_interval
from finegrain.metrics.intervals import wilson
from finegrain.metrics.recognition import Taught, every_pair, recognition, recognitions

LABELS = np.arange(60) % 3


def hits(seed: int, runs: int = 1, share: float = 0.6) -> np.ndarray:
    return np.random.default_rng(seed).random((runs, len(LABELS))) < share


def taught(seed: int, runs: int = 1, share: float = 0.6) -> Taught:
    return Taught(hits=hits(seed, runs, share), labels=LABELS, n_train=30)


def test_a_class_has_its_own_share_and_wilsons_interval() -> None:
    first, second, none = recognitions(np.array([True, False, True, True]), np.array([0, 0, 1, 1]), 3)
    assert (first.right, first.n, first.accuracy, first.interval) == (1, 2, 0.5, wilson(1, 2))
    assert (second.accuracy, second.interval) == (1.0, wilson(2, 2))
    assert (none.accuracy, none.interval) == (None, (0.0, 1.0))


def test_one_training_is_unsure_by_its_images_several_by_themselves_too() -> None:
    one, three = taught(0), taught(0, runs=3)
    assert (one.trainings, one.interval) == (1, recognition(one.hits[0]).interval)
    assert (three.trainings, three.interval) == (3, crossed_interval(three.hits, LABELS))
    assert three.accuracy == pytest.approx(three.hits.mean())


@pytest.mark.parametrize(("first", "second"), [(1, 1), (3, 3), (3, 1), (1, 3), (2, 3)])
def test_as_many_trainings_as_both_have_are_paired(first: int, second: int) -> None:
    one, other = taught(1, first, 0.8), taught(2, second, 0.4)
    found = one.minus(other)
    if first == second == 1:
        assert found == compare_models(one.hits[0], other.hits[0], LABELS)
    else:
        runs = max(first, second) if 1 in (first, second) else min(first, second)
        pairs = [np.broadcast_to(t.hits, (runs, 60)) if t.trainings == 1 else t.hits[:runs] for t in (one, other)]
        assert found == compare_runs(*pairs, LABELS)
    assert found.difference == pytest.approx(-other.minus(one).difference)
    assert found.difference > 0


def test_every_pair_is_one_family() -> None:
    three = [taught(0, share=0.9), taught(1, share=0.5), taught(2, share=0.5)]
    pairs = every_pair(three)
    assert list(pairs) == [(0, 1), (0, 2), (1, 2)]
    assert {pair.family for pair in pairs.values()} == {3}
    for (one, other), pair in pairs.items():
        alone = three[one].minus(three[other])
        assert (pair.difference, pair.interval, pair.p) == (alone.difference, alone.interval, alone.p)
        assert pair.adjusted_p >= alone.p
    assert pairs[0, 1].verdict() == "better"
    assert every_pair(three[:1]) == {}
