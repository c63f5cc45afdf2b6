import numpy as np
import pytest

from finegrain.report.confusion import matrix, similarity_order, sparse


def test_sparse_lists_every_count_once() -> None:
    confusion = np.array([[3, 0], [1, 2]])
    assert sparse(confusion) == [[0, 0, 3], [1, 0, 1], [1, 1, 2]]


def test_confused_classes_become_neighbours() -> None:
    confusion = np.diag([10] * 6)
    for a, b in ((0, 3), (1, 4), (2, 5)):
        confusion[a, b] = confusion[b, a] = 5
    order = similarity_order(confusion)
    assert sorted(order) == list(range(6))
    assert all(abs(order.index(a) - order.index(b)) == 1 for a, b in ((0, 3), (1, 4), (2, 5)))


@pytest.mark.parametrize("classes", [1, 2, 3, 200])
def test_order_is_a_permutation_even_where_classes_are_absent(classes: int) -> None:
    assert sorted(similarity_order(np.zeros((classes, classes), np.int64))) == list(range(classes))


def test_the_matrix_counts_each_true_class() -> None:
    found = matrix(np.array([[3, 0], [1, 2]]), ["a", "b"])
    assert found == {
        "names": ["a", "b"],
        "counts": [3, 3],
        "cells": [[0, 0, 3], [1, 0, 1], [1, 1, 2]],
        "similar": [0, 1],
    }
