"""The command `compare`: finished evaluations of the same images, each against the first, with a verdict."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from finegrain.errors import CheckpointError, ConfigError, DataError, fault
from finegrain.metrics.comparison import Comparison, as_family, compare_folds, compare_models, compare_runs
from finegrain.repeated.crossval import EVALUATION, read_finished
from finegrain.repeated.settings import setting_of_cells, setting_of_run
from finegrain.report.comparison import ComparisonReport
from finegrain.report.comparison_record import Setting
from finegrain.storage import RunDirectory

_PREDICTIONS = "predictions.csv"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Judgements:
    """What one model got right, images in the order of their paths."""

    paths: tuple[str, ...]
    classes: tuple[str, ...]
    """True classes by name."""
    hits: NDArray[np.bool_]
    trained_images: int | None = None
    """None for a single run, where it is not needed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Finished:
    """A finished evaluation."""

    path: Path
    kind: Literal["run", "folds", "test"]
    """A single run; a k-fold; several seeds on the dataset's own test split."""
    cells: tuple[Judgements, ...]
    setting: Setting
    """What is told of it beside the verdict."""


def compare(paths: Sequence[Path], *, directory: RunDirectory | None = None) -> str:
    """Compare the later directories with the first; return what to print.

    Args:
        paths: Two or more.
        directory: Takes a page of all figures; none: nothing is written.

    Raises:
        CheckpointError: A directory holds no finished evaluation.
        ConfigError: Fewer than two directories.
        DataError: They are not of the same images, folds or kind.
    """
    if len(paths) < 2:
        expected, remedy = "two or more run directories", "name the one to compare with first"
        raise ConfigError(fault("nothing to compare", got=len(paths), expected=expected, remedy=remedy))
    first, *others = [read(path) for path in tqdm(paths, desc="evaluations", leave=False, disable=None)]
    for other in others:
        _require_alike(first, other)
    settings = tuple(one.setting for one in (first, *others))
    unknown = ", ".join(setting.name for setting in settings if setting.trainable is None)
    report = ComparisonReport(
        settings=settings,
        comparisons=as_family([_compare(other, first) for other in others]),
        notes=(f"No metrics.json tells how, and at what cost, this was reached: {unknown}.",) if unknown else (),
    )
    if directory is None:
        return report.headline()
    with directory:
        return f"{report.headline()}\n{report.write(directory.path)}"


def read(path: Path) -> Finished:
    """The evaluation that lies at `path`: of a run, or of `crossval`.

    Raises:
        CheckpointError: There is none, or it is not finished.
    """
    if (path / EVALUATION).exists():
        return _read_cells(path)
    if (path / _PREDICTIONS).exists():
        cell = _read_predictions(path / _PREDICTIONS)
        return Finished(path=path, kind="run", cells=(cell,), setting=setting_of_run(path, cell.hits))
    raise CheckpointError(
        fault(
            f"{path} holds no finished evaluation",
            got=f"neither {EVALUATION} nor {_PREDICTIONS}",
            expected="the --out of a finished train or crossval",
            remedy="finish it first",
        )
    )


def _read_predictions(file: Path) -> Judgements:
    with file.open(encoding="utf-8", newline="") as opened:
        rows = sorted((row["path"], row["label"], row["class_1"]) for row in csv.DictReader(opened))
    return Judgements(
        paths=tuple(path for path, _, _ in rows),
        classes=tuple(label for _, label, _ in rows),
        hits=np.array([label == likeliest for _, label, likeliest in rows]),
    )


def _read_cells(path: Path) -> Finished:
    identity, results = read_finished(path)
    names = identity["class_names"]
    cells = []
    for judged in (result.judged for result in results.values()):
        order = np.argsort(judged.paths)
        cells.append(
            Judgements(
                paths=tuple(judged.paths[i] for i in order),
                classes=tuple(names[judged.labels[i]] for i in order),
                hits=judged.hits[order],
                trained_images=judged.trained_images,
            )
        )
    setting = setting_of_cells(path, [result.judged for result in results.values()], num_classes=len(names))
    return Finished(path=path, kind=identity["on"], cells=tuple(cells), setting=setting)


def _require_alike(first: Finished, other: Finished) -> None:
    differences = []
    if first.kind != other.kind:
        differences.append(f"kinds {first.kind} and {other.kind}")
    elif len(first.cells) != len(other.cells):
        differences.append(f"{len(first.cells)} and {len(other.cells)} cells")
    else:
        pairs = zip(first.cells, other.cells, strict=True)
        unlike = sum((a.paths, a.classes) != (b.paths, b.classes) for a, b in pairs)
        differences += [f"other images or classes in {unlike} of {len(first.cells)} cells"] if unlike else []
    if differences:
        raise DataError(
            fault(
                f"{other.path} cannot be compared with {first.path}",
                got=differences[0],
                expected="the same images, folds and seeds",
                remedy="evaluate both with the same data, folds and seeds",
            )
        )


def _compare(other: Finished, first: Finished) -> Comparison:
    labels = np.unique(first.cells[0].classes, return_inverse=True)[1].astype(np.int64)
    if first.kind == "run":
        return compare_models(other.cells[0].hits, first.cells[0].hits, labels)
    if first.kind == "test":
        hits, reference = (np.array([cell.hits for cell in one.cells]) for one in (other, first))
        return compare_runs(hits, reference, labels)
    ratio = float(np.mean([len(cell.paths) / (cell.trained_images or 1) for cell in first.cells]))
    accuracies = [np.array([cell.hits.mean() for cell in one.cells]) for one in (other, first)]
    return compare_folds(*accuracies, test_ratio=ratio)
