"""The confusion matrix as the page needs it: sparse, and with an order that puts confused classes side by side."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform


def matrix(confusion: NDArray[np.int64], class_names: Sequence[str]) -> dict[str, Any]:
    """What the script of the page draws `confusion` [K, K] from."""
    return {
        "names": class_names,
        "counts": confusion.sum(axis=1).tolist(),
        "cells": sparse(confusion),
        "similar": similarity_order(confusion),
    }


def sparse(confusion: NDArray[np.int64]) -> list[list[int]]:
    """The cells of `confusion` [K, K] that are not zero, each as [true, predicted, count]."""
    rows, columns = np.nonzero(confusion)
    return [[int(i), int(j), int(confusion[i, j])] for i, j in zip(rows, columns, strict=True)]


def similarity_order(confusion: NDArray[np.int64]) -> list[int]:
    """An order of the K classes in which those often taken for each other are neighbours.

    Average-linkage clustering; two classes are near when a large share of either's images is given to the other.
    """
    if len(confusion) < 3:
        return list(range(len(confusion)))
    share = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    distance = 1 - (share + share.T) / 2
    np.fill_diagonal(distance, 0)
    tree: Any = linkage(squareform(distance, checks=False), method="average")
    return [int(index) for index in leaves_list(tree)]
