"""The command `compare`: finished evaluations of the same images, each against the first, with a verdict."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from finegrain.engine.checkpoint import read_course
from finegrain.errors import CheckpointError, ConfigError, DataError, fault
from finegrain.metrics.comparison import Comparison, as_family, compare_folds, compare_models, compare_runs
from finegrain.repeated.cells import CONTENTS
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
    contents: str | None = None
    """Digest of what the images show; None where it was not written down."""


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
        CheckpointError: A directory holds no finished evaluation, or a damaged one.
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
    report = ComparisonReport(
        settings=settings,
        comparisons=as_family([_compare(other, first) for other in others]),
        notes=tuple(_notes((first, *others))),
    )
    if directory is None:
        return report.headline()
    with directory:
        return f"{report.headline()}\n{report.write(directory.path)}"


def _notes(compared: Sequence[Finished]) -> Iterator[str]:
    """What is not known of some."""
    costless = ", ".join(one.setting.name for one in compared if one.setting.trainable is None)
    if costless:
        yield f"No metrics.json tells how, and at what cost, this was reached: {costless}."
    by_name = ", ".join(str(one.path) for one in compared if any(cell.contents is None for cell in one.cells))
    if by_name:
        yield f"Known by name alone, not by content: the images of {by_name}."


def read(path: Path) -> Finished:
    """The evaluation that lies at `path`: of a run, or of `crossval`.

    Raises:
        CheckpointError: There is none, or it is damaged or not finished.
    """
    if (path / EVALUATION).exists():
        return _read_cells(path)
    if (path / _PREDICTIONS).exists():
        cell = replace(_read_predictions(path / _PREDICTIONS), contents=_contents(path))
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
    try:
        with file.open(encoding="utf-8", newline="") as opened:
            rows = sorted((row["path"], row["label"], row["class_1"]) for row in csv.DictReader(opened))
        got = "" if rows and all(map(all, rows)) else "a row that is cut short" if rows else "no rows"
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:  # a row cut short cannot be sorted either
        got = repr(error)
    if got:
        expected, remedy = "a row an image, with path, label and class_1", "judge the run again with evaluate"
        raise CheckpointError(fault(f"{file} holds no predictions", got=got, expected=expected, remedy=remedy))
    return Judgements(
        paths=tuple(path for path, _, _ in rows),
        classes=tuple(label for _, label, _ in rows),
        hits=np.array([label == likeliest for _, label, likeliest in rows]),
    )


def _contents(path: Path) -> str | None:
    """Digest of what the test images of a run show, if its checkpoint is there to tell."""
    directory = RunDirectory(path, resume=True)
    return read_course(directory).identity.get(CONTENTS) if directory.begun else None


def _read_cells(path: Path) -> Finished:
    identity, results = read_finished(path)
    names = identity["class_names"]
    cells = []
    for result in results.values():
        judged = result.judged
        order = np.argsort(judged.paths)
        cells.append(
            Judgements(
                paths=tuple(judged.paths[i] for i in order),
                classes=tuple(names[judged.labels[i]] for i in order),
                hits=judged.hits[order],
                trained_images=judged.trained_images,
                contents=result.hashes.get(CONTENTS),
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
        pairs = list(zip(first.cells, other.cells, strict=True))
        unlike = sum((a.paths, a.classes) != (b.paths, b.classes) for a, b in pairs)
        differences += [f"other images or classes in {unlike} of {len(pairs)} cells"] if unlike else []
        redrawn = sum(a.contents != b.contents and None not in (a.contents, b.contents) for a, b in pairs)
        differences += [f"other contents under the same names in {redrawn} of {len(pairs)} cells"] if redrawn else []
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
    # The larger of the two: with another val split one of them trained on fewer images, whichever is named first.
    ratio = max(float(np.mean([len(c.paths) / (c.trained_images or 1) for c in one.cells])) for one in (first, other))
    accuracies = [np.array([cell.hits.mean() for cell in one.cells]) for one in (other, first)]
    return compare_folds(*accuracies, test_ratio=ratio)
