"""Threads keep the order of their items and never run far ahead."""

import threading
import time

import pytest

from finegrain.data.prefetch import ordered_map


def test_keeps_the_order():
    def slow_first(item: int) -> int:
        time.sleep(0.02 if item == 0 else 0)
        return item * item

    assert list(ordered_map(slow_first, range(50), threads=4, ahead=8)) == [i * i for i in range(50)]


def test_never_computes_more_than_asked_ahead():
    started = []
    results = ordered_map(started.append, range(100), threads=2, ahead=5)
    for taken in range(1, 20):
        next(results)
        assert len(started) <= taken + 4
    results.close()
    assert len(started) <= 24


def test_an_error_comes_in_its_result_s_place():
    results = ordered_map(lambda item: 1 / item, [1, 2, 0, 4], threads=2, ahead=2)
    assert [next(results), next(results)] == [1, 0.5]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_leaving_early_leaves_no_thread():
    before = threading.active_count()
    results = ordered_map(str, range(100), threads=4, ahead=8)
    next(results)
    results.close()
    assert threading.active_count() == before
