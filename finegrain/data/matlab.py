"""Reads the MATLAB files in which some datasets keep their lists."""

import functools
import operator
from pathlib import Path
from typing import Any

import numpy as np

from finegrain.errors import DataError, fault


def read_mat(path: Path, *names: str) -> list[Any]:
    """Variables of a MATLAB file, each as an array [N]; `a.b` is the field b of the records a. No code is run.

    Raises:
        DataError: The file is missing or damaged, lacks a variable, or they differ in length.
    """
    from scipy.io import loadmat  # deferred: only three layouts need SciPy

    if not path.is_file():
        what, expected = "missing list", "the dataset's own file"
        raise DataError(fault(what, got=str(path), expected=expected, remedy="unpack the dataset anew"))
    try:
        content = loadmat(path, squeeze_me=True)
        columns = [np.atleast_1d(functools.reduce(operator.getitem, name.split("."), content)) for name in names]
    except Exception as error:  # SciPy lets many kinds out of a damaged file
        wanted = f"a MATLAB file with {', '.join(names)}"
        message = fault("unreadable list", got=str(path), expected=wanted, remedy="unpack the dataset anew")
        raise DataError(message) from error
    lengths = {name: len(column) for name, column in zip(names, columns, strict=True)}
    if len(set(lengths.values())) > 1:
        what = f"columns of different length in {path}"
        raise DataError(fault(what, got=lengths, expected="one length", remedy="unpack the dataset anew"))
    return columns
