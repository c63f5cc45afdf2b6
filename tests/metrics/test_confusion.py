import numpy as np
import pytest

from finegrain.metrics.confusion import most_confused
from finegrain.metrics.intervals import wilson

COUNTS = np.array([[7, 2, 1], [2, 8, 0], [0, 5, 0]])


def test_order_counts_and_shares() -> None:
    rows = most_confused(COUNTS, limit=10)
    assert [(r.true, r.predicted, r.count) for r in rows] == [(2, 1, 5), (0, 1, 2), (1, 0, 2), (0, 2, 1)]
    assert [r.share for r in rows] == pytest.approx([1.0, 0.2, 0.2, 0.1])


def test_limit() -> None:
    assert [(r.true, r.predicted) for r in most_confused(COUNTS, limit=1)] == [(2, 1)]
    assert most_confused(COUNTS, limit=0) == ()


def test_no_mistakes() -> None:
    assert most_confused(np.diag([3, 0, 2]), limit=5) == ()


def test_input_is_untouched() -> None:
    counts = COUNTS.copy()
    most_confused(counts, limit=3)
    assert (counts == COUNTS).all()


def test_every_pair_has_its_own_interval() -> None:
    first, second = most_confused(COUNTS, limit=2)
    assert (first.total, first.interval) == (5, wilson(5, 5))
    assert (second.total, second.interval) == (10, wilson(2, 10))
    low, high = second.interval
    assert low < second.share < high
