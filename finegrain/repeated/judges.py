"""What a repeated evaluation does with each cell: train, predict what was held out, keep what was said."""

import dataclasses
import hashlib
import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from finegrain import caching, config
from finegrain.data.base import Data, Sample, Source
from finegrain.engine.checkpoint import read_course, read_json, require_same
from finegrain.engine.evaluate import Predictions, predict
from finegrain.features.cache import FeatureCache
from finegrain.features.extract import extract
from finegrain.features.keys import network_key
from finegrain.features.probe import choose_head
from finegrain.features.views import Plain, evaluation_views
from finegrain.judgement import best_model
from finegrain.metrics.repeated import Judged
from finegrain.models.classifier import Classifier
from finegrain.recipe import Recipe, build_cache, build_feeds, build_model, fit, identify
from finegrain.repeated.cells import CONTENTS, Cell, CellFiles, CellResult
from finegrain.report.tables import csv_text
from finegrain.runtime import Runtime, Stopwatch
from finegrain.storage import RunDirectory

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Said:
    """What a judge says of a cell."""

    predictions: Predictions
    """Of its test split."""
    history: Sequence[Mapping[str, float]] = ()
    """How the epochs went, if any."""
    seconds_before: float = 0.0
    """Time spent on it by processes that were stopped before they finished it."""


Judge = Callable[[Cell, Data], Said]
"""Trains on a cell's train and val splits, and predicts its test split."""
Row = Callable[[Cell, CellResult], Sequence[object]]
"""What the table of results says of a cell."""

CELLS = "cells"
TABLE = "results.csv"
RUNS = "runs"
"""Folder, in an evaluation's directory, of a run for each cell; there is none where heads were fitted on features."""
_EXTENT = ("seeds", "counts")
"""What says which cells there are, not what is in one: with these changed, an evaluation goes on in its directory."""


def judge_cells(
    recipe: Recipe,
    model: Classifier,
    *,
    plan: Mapping[Cell, Data],
    settings: Mapping[str, object],
    file: str,
    columns: Sequence[str],
    row: Row,
    data: Data,
    runtime: Runtime,
    directory: RunDirectory,
) -> dict[Cell, CellResult]:
    """Train and judge every cell that is not finished yet, each written when it is, and into `results.csv`.

    That table has a row for each finished cell in the directory, those of a larger plan before this one too.

    What frozen networks gave stays in the directory's `FEATURES`, for the caller to read, and to remove.

    Args:
        recipe: Says how.
        model: Of `recipe.build_model`; gives the features.
        plan: The splits of every cell.
        settings: What the evaluation depends on beside the recipe, as plain JSON.
        file: Name of the file that says what the directory holds.
        columns: Of the table.
        row: Nothing in it may depend on how fast, or after how many interruptions, a cell was computed.
        data: The splits that the cells were made from.
        runtime: Where and how to compute.
        directory: Open.

    Raises:
        CheckpointError: The directory holds another evaluation.
    """
    identity = identify_cells(recipe, model, settings=settings, data=data, runtime=runtime)
    files = CellFiles(directory.path / CELLS, evaluation=claim(directory, file, identity))
    directory.write("config.py", config.dump(recipe))
    cache = build_cache(recipe.runtime, run=directory.path)
    judge: Judge = partial(_train_and_judge, recipe, runtime=runtime, cache=cache, folder=directory.path / RUNS)
    if caching.reads_the_same(recipe.tuning, recipe.augment):
        judge = HeadJudge(recipe, model, plan=plan, source=data.source, runtime=runtime, cache=cache)
    return _finish(plan, judge, files, _Table(directory, columns, row), runtime)


def identify_cells(
    recipe: Recipe, model: Classifier, *, settings: Mapping[str, object], data: Data, runtime: Runtime
) -> dict[str, object]:
    """All that the numbers of an evaluation depend on."""
    identity = identify(recipe, data=data, model=model, runtime=runtime)
    return {**settings, **identity, "network": network_key(model, runtime)}


def claim(directory: RunDirectory, name: str, identity: Mapping[str, object]) -> str:
    """Write down, in the file `name` of `directory`, what is done there; return its digest of `cell_digest`.

    Raises:
        CheckpointError: Something else is, or it is damaged.
    """
    text = json.dumps(identity, indent=1)
    file = directory.path / name
    if file.exists():
        require_same(_without_extent(read_json(file, dict)), _without_extent(json.loads(text)), file)
    directory.write(name, text)
    return cell_digest(identity)


def cell_digest(identity: Mapping[str, object]) -> str:
    """SHA-256 of what the numbers of every cell depend on, out of what an evaluation depends on."""
    return hashlib.sha256(json.dumps(_without_extent(identity)).encode()).hexdigest()


def _without_extent(identity: Mapping[str, object]) -> dict[str, object]:
    return {key: value for key, value in identity.items() if key not in _EXTENT}


class _Table:
    """Writes `results.csv` as cells finish, in an order that does not depend on when they did."""

    def __init__(self, directory: RunDirectory, columns: Sequence[str], row: Row) -> None:
        self._directory, self._columns, self._row = directory, columns, row
        self._rows: dict[Cell, Sequence[object]] = {}

    def add(self, results: Mapping[Cell, CellResult]) -> None:
        self._rows |= {cell: self._row(cell, result) for cell, result in results.items()}
        ordered = sorted(self._rows, key=lambda cell: (cell.per_class or 0, cell.seed, cell.fold))
        self._directory.write(TABLE, csv_text(self._columns, [self._rows[cell] for cell in ordered]))


def _finish(
    plan: Mapping[Cell, Data], judge: Judge, files: CellFiles, table: _Table, runtime: Runtime
) -> dict[Cell, CellResult]:
    """The results of all cells, those on disk taken from there."""
    results = files.load_all()
    table.add(results)
    for cell, data in tqdm(plan.items(), desc="cells", leave=False, disable=None):
        if cell in results:
            continue
        started = time.monotonic()
        said = judge(cell, data)
        judged = Judged(
            seed=cell.seed,
            fold=cell.fold,
            trained_images=len(data.train),
            paths=said.predictions.paths,
            labels=said.predictions.labels,
            probabilities=said.predictions.probabilities,
        )
        results[cell] = CellResult(
            judged=judged,
            seconds=time.monotonic() - started + said.seconds_before,
            hashes=data.hashes() | {CONTENTS: data.content_hashes()["test"]},
            history=said.history,
            peak_memory_bytes=runtime.peak_memory_bytes(),
        )
        files.save(cell, results[cell])
        table.add({cell: results[cell]})
        logger.info("%s: top-1 %.4f", cell, judged.hits.mean())
    return {cell: results[cell] for cell in plan}


def _train_and_judge(
    recipe: Recipe, cell: Cell, data: Data, *, runtime: Runtime, cache: FeatureCache, folder: Path
) -> Said:
    """Train as `main.py train` does, in a run directory of the cell's own, which keeps the best model."""
    recipe = dataclasses.replace(recipe, seed=cell.seed)
    with RunDirectory(folder / str(cell), resume=True) as own:
        seconds_before = read_course(own).seconds if own.begun else 0.0
        model = build_model(recipe, num_classes=len(data.class_names), runtime=runtime)
        fit(recipe, model, data=data, directory=own, runtime=runtime, cache=cache, clock=Stopwatch())
        best = best_model(own, class_names=data.class_names, runtime=runtime, trust=recipe.model.trust)
        feeds = build_feeds(recipe, data=data, preprocessing=best.preprocessing, runtime=runtime)
        predictions = predict(best, feeds.test, runtime=runtime, title=str(cell))
        return Said(predictions=predictions, history=read_course(own).history, seconds_before=seconds_before)


class HeadJudge:
    """Fits a linear head to its optimum on features of all images, computed once; val chooses its L2 strength."""

    def __init__(
        self,
        recipe: Recipe,
        model: Classifier,
        *,
        plan: Mapping[Cell, Data],
        source: Source,
        runtime: Runtime,
        cache: FeatureCache,
    ) -> None:
        """Remember what to extract, the images of all cells; nothing is before the first cell."""
        logger.info("heads are fitted to their optimum: the recipe's loss, optim, schedule, train have no part in it")
        samples = tuple(dict.fromkeys(s for data in plan.values() for s in (*data.train, *data.val, *data.test)))
        shown = evaluation_views(model.preprocessing, recipe.evaluation.views)
        self._views = tuple(dict.fromkeys((Plain(), *shown)))  # the head is fitted on the first
        self._shown = [self._views.index(view) for view in shown]
        self._rows = {sample.path: row for row, sample in enumerate(samples)}
        self._extract = partial(
            extract,
            samples,
            source=source,
            classifier=model,
            runtime=dataclasses.replace(runtime, compile="never"),  # what pays is a matter of time: a rerun may differ
            cache=cache,
            views=self._views,
        )
        self._values: torch.Tensor | None = None

    def __call__(self, cell: Cell, data: Data) -> Said:
        """Fit on train, choose on val, predict test."""
        fitted = (*data.train, *data.val)
        labels = torch.tensor([sample.label for sample in fitted])
        held_out = torch.arange(len(fitted)) >= len(data.train)
        head = choose_head(self._features(fitted)[:, 0], labels, held_out).head
        with torch.inference_mode():
            logits = head(self._features(data.test)[:, self._shown])
        predictions = Predictions(
            paths=tuple(sample.path for sample in data.test),
            labels=np.array([sample.label for sample in data.test]),
            probabilities=logits.double().softmax(2).mean(1).numpy(),
        )
        return Said(predictions=predictions)

    def _features(self, samples: tuple[Sample, ...]) -> torch.Tensor:
        """[B, views, D]."""
        if self._values is None:
            self._values = self._extract().values.float().view(len(self._rows), len(self._views), -1)
        return self._values[[self._rows[sample.path] for sample in samples]]
