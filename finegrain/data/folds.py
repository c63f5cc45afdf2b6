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
        DataError: A class has fewer than k images or groups; names the largest k that is valid.
    """
    samples = sorted(samples, key=lambda sample: sample.path)
    _check(samples, folds, class_names)
    labels = np.array([sample.label for sample in samples])
    groups = np.array([_unit(sample) for sample in samples])
    grouped = any(sample.group is not None for sample in samples)
    splitter = StratifiedGroupKFold if grouped else StratifiedKFold
    divide = splitter(n_splits=folds, shuffle=True, random_state=seed_of(seed, "folds") % 2**32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes smaller than k, which with groups are counted above
        pairs = list(divide.split(labels, labels, groups))
    made = tuple(
        Fold(train=tuple(samples[i] for i in train), held_out=tuple(samples[i] for i in held_out))
        for train, held_out in pairs
    )
    for fold in made:
        _require_every_class(fold, class_names)
    return made


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


def _require_every_class(fold: Fold, class_names: Sequence[str]) -> None:
    missing = set(range(len(class_names))) - {sample.label for sample in fold.train}
    if missing:
        raise DataError(
            fault(
                "the groups cannot be divided",
                got=f"a fold whose training lacks class {class_names[min(missing)]}",
                expected="every class in every fold's training",
                remedy="use fewer folds, or smaller groups",
            )
        )
