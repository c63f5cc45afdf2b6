"""What a repeated evaluation does with each cell: train, predict what was held out, keep what was said."""

import dataclasses
import hashlib
import json
import logging
import shutil
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from finegrain import caching, config
from finegrain.data.base import Data, Sample, Source
from finegrain.engine.checkpoint import read_course, require_same
from finegrain.engine.evaluate import Predictions, predict
from finegrain.features.cache import FeatureCache
from finegrain.features.extract import extract
from finegrain.features.keys import network_key
from finegrain.features.probe import choose_head
from finegrain.features.views import Plain, evaluation_views
from finegrain.judgement import best_model
from finegrain.metrics.repeated import Judged
from finegrain.models.classifier import Classifier
from finegrain.recipe import FEATURES, Recipe, build_cache, build_feeds, build_model, fit, identify
from finegrain.repeated.cells import Cell, CellFiles, CellResult
from finegrain.runtime import Runtime, Stopwatch
from finegrain.storage import RunDirectory

logger = logging.getLogger(__name__)

History = list[dict[str, float]]
Judge = Callable[[Cell, Data], tuple[Predictions, History]]
"""Trains on a cell's train and val splits, and predicts its test split; also tells how the epochs went, if any."""

CELLS = "cells"
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
    data: Data,
    runtime: Runtime,
    directory: RunDirectory,
) -> dict[Cell, CellResult]:
    """Train and judge every cell that is not finished yet, each written when it is.

    Args:
        recipe: Says how.
        model: Of `recipe.build_model`; gives the features.
        plan: The splits of every cell.
        settings: What the evaluation depends on beside the recipe, as plain JSON.
        file: Name of the file that says what the directory holds.
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
    results = _finish(plan, judge, files)
    shutil.rmtree(directory.path / FEATURES, ignore_errors=True)
    return results


def identify_cells(
    recipe: Recipe, model: Classifier, *, settings: Mapping[str, object], data: Data, runtime: Runtime
) -> dict[str, object]:
    """All that the numbers of an evaluation depend on."""
    identity = identify(recipe, data=data, model=model, runtime=runtime)
    return {**settings, **identity, "network": network_key(model, runtime)}


def claim(directory: RunDirectory, name: str, identity: Mapping[str, object]) -> str:
    """Write down, in the file `name` of `directory`, what is done there; return its digest of `cell_digest`.

    Raises:
        CheckpointError: Something else is.
    """
    text = json.dumps(identity, indent=1)
    file = directory.path / name
    if file.exists():
        saved = json.loads(file.read_text(encoding="utf-8"))
        require_same(_without_extent(saved), _without_extent(json.loads(text)), file)
    directory.write(name, text)
    return cell_digest(identity)


def cell_digest(identity: Mapping[str, object]) -> str:
    """SHA-256 of what the numbers of every cell depend on, out of what an evaluation depends on."""
    return hashlib.sha256(json.dumps(_without_extent(identity)).encode()).hexdigest()


def _without_extent(identity: Mapping[str, object]) -> dict[str, object]:
    return {key: value for key, value in identity.items() if key not in _EXTENT}


def _finish(plan: Mapping[Cell, Data], judge: Judge, files: CellFiles) -> dict[Cell, CellResult]:
    """The results of all cells, those on disk taken from there."""
    results = {}
    for cell, data in tqdm(plan.items(), desc="cells", leave=False, disable=None):
        result = files.load(cell)
        if result is None:
            started = time.monotonic()
            predictions, history = judge(cell, data)
            judged = Judged(
                seed=cell.seed,
                fold=cell.fold,
                trained_images=len(data.train),
                paths=predictions.paths,
                labels=predictions.labels,
                probabilities=predictions.probabilities,
            )
            seconds = time.monotonic() - started
            result = CellResult(judged=judged, seconds=seconds, hashes=data.hashes(), history=history)
            files.save(cell, result)
            logger.info("%s: top-1 %.4f", cell, judged.hits.mean())
        results[cell] = result
    return results


def _train_and_judge(
    recipe: Recipe, cell: Cell, data: Data, *, runtime: Runtime, cache: FeatureCache, folder: Path
) -> tuple[Predictions, History]:
    """Train as `main.py train` does, in a run directory of the cell's own, which keeps the best model."""
    recipe = dataclasses.replace(recipe, seed=cell.seed)
    with RunDirectory(folder / str(cell), resume=True) as own:
        model = build_model(recipe, num_classes=len(data.class_names), runtime=runtime)
        fit(recipe, model, data=data, directory=own, runtime=runtime, cache=cache, clock=Stopwatch())
        best = best_model(own, class_names=data.class_names, runtime=runtime, trust=recipe.model.trust)
        feeds = build_feeds(recipe, data=data, preprocessing=best.preprocessing, runtime=runtime)
        return predict(best, feeds.test, runtime=runtime, title=str(cell)), read_course(own).history


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

    def __call__(self, cell: Cell, data: Data) -> tuple[Predictions, History]:
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
        return predictions, []

    def _features(self, samples: tuple[Sample, ...]) -> torch.Tensor:
        """[B, views, D]."""
        if self._values is None:
            self._values = self._extract().values.float().view(len(self._rows), len(self._views), -1)
        return self._values[[self._rows[sample.path] for sample in samples]]
