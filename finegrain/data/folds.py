"""Repeated stratified k-fold: every image is held out once a repeat, and groups stay together."""

import warnings
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from finegrain.data.base import Sample
from finegrain.errors import DataError, fault
from finegrain.runtime import seed_of


@dataclass(frozen=True, kw_only=True, slots=True)
class Fold:
    """One division of the samples."""

    train: tuple[Sample, ...]
    held_out: tuple[Sample, ...]


def make_folds(samples: Sequence[Sample], *, folds: int, seed: int, class_names: Sequence[str]) -> tuple[Fold, ...]:
    """Divide samples into folds, each class as evenly as whole groups allow, by scikit-learn's splitters.

    Args:
        samples: Whose order has no part in the result; those without a group are each one of their own.
        folds: k ≥ 2.
        seed: Another seed gives another division.
        class_names: To name the class that is too small.

    Raises:
        DataError: A class has fewer than k images or groups, or a fold would be empty or its training lack a class;
            names the largest k that is valid.
    """
    samples = sorted(samples, key=lambda sample: sample.path)
    _check(samples, folds, class_names)
    made = _divide(samples, folds, seed)
    lacking = _lacking(made, class_names)
    if lacking:
        fewer = (k for k in range(folds - 1, 1, -1) if not _lacking(_divide(samples, k, seed), class_names))
        most = next(fewer, None)
        raise DataError(
            fault(
                f"the groups cannot be divided into {folds} folds",
                got=lacking,
                expected="images in every fold, and every class in every fold's training",
                remedy=f"set folds={most}, or make groups smaller" if most else "make groups smaller",
            )
        )
    return made


def _divide(samples: Sequence[Sample], folds: int, seed: int) -> tuple[Fold, ...]:
    labels = np.array([sample.label for sample in samples])
    groups = np.array([_unit(sample) for sample in samples])
    grouped = any(sample.group is not None for sample in samples)
    splitter = StratifiedGroupKFold if grouped else StratifiedKFold
    divide = splitter(n_splits=folds, shuffle=True, random_state=seed_of(seed, "folds") % 2**32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes smaller than k, which with groups are counted before
        pairs = list(divide.split(labels, labels, groups))
    return tuple(
        Fold(train=tuple(samples[i] for i in train), held_out=tuple(samples[i] for i in held_out))
        for train, held_out in pairs
    )


def _unit(sample: Sample) -> str:
    return f"path {sample.path}" if sample.group is None else f"group {sample.group}"


def _check(samples: Sequence[Sample], folds: int, class_names: Sequence[str]) -> None:
    units: dict[int, set[str]] = defaultdict(set)
    for sample in samples:
        units[sample.label].add(_unit(sample))
    smallest = min(range(len(class_names)), key=lambda label: len(units[label]))
    most = len(units[smallest])
    if folds > most:
        remedy = f"set folds={most}" if most > 1 else "add images of this class, or leave it out"
        raise DataError(
            fault(
                f"{folds} folds are too many for class {class_names[smallest]}",
                got=f"{most} images or groups",
                expected="one or more in every fold",
                remedy=remedy,
            )
        )


def _lacking(made: Sequence[Fold], class_names: Sequence[str]) -> str:
    """What makes a division useless; empty where nothing does."""
    for fold in made:
        if not fold.held_out:
            return "a fold without an image"
        missing = set(range(len(class_names))) - {sample.label for sample in fold.train}
        if missing:
            return f"a fold whose training lacks class {class_names[min(missing)]}"
    return ""
