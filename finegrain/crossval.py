"""The command `crossval`: the same recipe trained again and again, each time judged on images it did not see."""

import dataclasses
import hashlib
import json
import logging
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import torch
from tqdm import tqdm

from finegrain import caching, config
from finegrain.cells import Cell, CellFiles, CellResult
from finegrain.config import Count
from finegrain.data import splits
from finegrain.data.base import Data, Sample, Source
from finegrain.data.carve import carve
from finegrain.data.folds import Fold, make_folds
from finegrain.engine.checkpoint import read_course, require_same
from finegrain.engine.evaluate import Predictions, predict
from finegrain.errors import fault
from finegrain.features.cache import FeatureCache
from finegrain.features.extract import extract
from finegrain.features.keys import network_key
from finegrain.features.probe import choose_head
from finegrain.features.views import Mirrored, Plain
from finegrain.judgement import best_model
from finegrain.metrics.repeated import Judged, summarise
from finegrain.models.classifier import Classifier
from finegrain.recipe import FEATURES, Recipe, build_cache, build_feeds, build_model, fit, identify
from finegrain.report.record import Parameters
from finegrain.report.repeated import RepeatedReport
from finegrain.report.repeated_record import RANDOM
from finegrain.runtime import Runtime, Stopwatch, device_faults, environment
from finegrain.storage import RunDirectory

logger = logging.getLogger(__name__)

History = list[dict[str, float]]
Judge = Callable[[Cell, Data], tuple[Predictions, History]]
"""Trains on a cell's train and val splits, and predicts its test split; also tells how the epochs went, if any."""

CELLS = "cells"
EVALUATION = "evaluation.json"
"""What a directory's evaluation depends on; a directory without it holds none."""


@dataclass(kw_only=True, slots=True)
class Protocol:
    """How often, and on what."""

    folds: Count = 5
    """k of k-fold; every image is held out once for each seed."""
    seeds: Count = 10
    """Repeats, each with another division into folds, other random numbers and another val split."""
    on: Literal["folds", "test"] = "folds"
    """test: judge every seed on the dataset's own test split instead."""

    def faults(self) -> list[str]:
        """One fold leaves nothing to train on."""
        if self.folds > 1:
            return []
        return [fault("folds", got=self.folds, expected="2 or more", remedy="set folds=5, or on=test")]

    def cells(self, first_seed: int) -> list[Cell]:
        """All of them, in the order they run."""
        seeds = range(first_seed, first_seed + self.seeds)
        return [Cell(seed=seed, fold=fold) for seed in seeds for fold in range(self.folds if self.on == "folds" else 1)]


def crossval(recipe: Recipe, protocol: Protocol, *, directory: RunDirectory) -> str:
    """Train and judge every cell that is not finished yet; return what to print.

    Every cell is written when it is finished: stopped and begun again, only the missing ones run, and the table of
    results is the same to the byte.

    Raises:
        CheckpointError: The directory holds another evaluation.
        DataError: The images cannot be divided so.
    """
    clock = Stopwatch()
    with directory, device_faults():
        runtime = recipe.runtime.build()
        table = recipe.data.table()
        model = build_model(recipe, num_classes=len(table.class_names), runtime=runtime)
        with clock("data"):
            data = splits.build(recipe.data, table)
        plan = make_plan(recipe, protocol, data)
        identity = identify(recipe, data=data, model=model, runtime=runtime)
        network = {"network": network_key(model, runtime)}
        evaluation = _claim(directory, config.flatten(protocol) | identity | network)
        directory.write("config.py", config.dump(recipe))
        cache = build_cache(recipe.runtime, run=directory.path)
        files = CellFiles(directory.path / CELLS, evaluation=evaluation)
        judge: Judge = partial(_train_and_judge, recipe, runtime=runtime, cache=cache, directory=directory)
        if caching.reads_the_same(recipe.tuning, recipe.augment):
            samples = dict.fromkeys(s for cell in plan.values() for s in (*cell.train, *cell.val, *cell.test))
            judge = HeadJudge(recipe, model, samples=tuple(samples), source=data.source, runtime=runtime, cache=cache)
        results = _finish(plan, judge, files)
        report = _report(recipe, protocol, results, model=model, data=data, runtime=runtime)
        page = report.write(directory.path)
        shutil.rmtree(directory.path / FEATURES, ignore_errors=True)
    return f"{report.headline()}\n{page}"


def make_plan(recipe: Recipe, protocol: Protocol, data: Data) -> dict[Cell, Data]:
    """The splits of every cell; `val`, carved out of what is trained on, is what chooses there.

    Raises:
        DataError: A class is too small for so many folds, or groups cannot be divided.
    """
    cells = protocol.cells(recipe.seed)
    folds = {seed: _divide(protocol, data, seed) for seed in dict.fromkeys(cell.seed for cell in cells)}
    plan = {}
    for cell in cells:
        fold = folds[cell.seed][cell.fold]
        inner = carve(fold.train, fraction=recipe.data.val_fraction, seed=cell.seed)
        plan[cell] = dataclasses.replace(
            data, train=inner.kept, val=inner.taken, test=fold.held_out, dropped=(), notes=()
        )
    return plan


def _divide(protocol: Protocol, data: Data, seed: int) -> tuple[Fold, ...]:
    known = (*data.train, *data.val)
    if protocol.on == "test":
        return (Fold(train=known, held_out=data.test),)
    # The official test split stays unseen; a test split that was only carved out is data like any other.
    pool = known if _ships_test(data) else (*known, *data.test)
    return make_folds(pool, folds=protocol.folds, seed=seed, class_names=data.class_names)


def _finish(plan: Mapping[Cell, Data], judge: Judge, files: CellFiles) -> list[CellResult]:
    """The results of all cells, those on disk taken from there."""
    results = []
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
            files.save(result)
            logger.info("%s: top-1 %.4f", cell, judged.hits.mean())
        results.append(result)
    return results


def _train_and_judge(
    recipe: Recipe, cell: Cell, data: Data, *, runtime: Runtime, cache: FeatureCache, directory: RunDirectory
) -> tuple[Predictions, History]:
    """Train as `main.py train` does, in a run directory of the cell's own, which keeps the best model."""
    recipe = dataclasses.replace(recipe, seed=cell.seed)
    with RunDirectory(directory.path / "runs" / str(cell), resume=True) as own:
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
        samples: tuple[Sample, ...],
        source: Source,
        runtime: Runtime,
        cache: FeatureCache,
    ) -> None:
        """Remember what to extract, the `samples` of all cells; nothing is before the first cell."""
        self._views = (Plain(), Mirrored())[: 1 + recipe.evaluation.flip]
        self._rows = {sample.path: row for row, sample in enumerate(samples)}
        self._extract = partial(
            extract,
            samples,
            source=source,
            classifier=model,
            runtime=runtime,
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
            logits = torch.stack([head(view) for view in self._features(data.test).unbind(1)])
        predictions = Predictions(
            paths=tuple(sample.path for sample in data.test),
            labels=np.array([sample.label for sample in data.test]),
            probabilities=logits.double().softmax(2).mean(0).numpy(),
        )
        return predictions, []

    def _features(self, samples: tuple[Sample, ...]) -> torch.Tensor:
        """[B, views, D]."""
        if self._values is None:
            self._values = self._extract().values.float().view(len(self._rows), len(self._views), -1)
        return self._values[[self._rows[sample.path] for sample in samples]]


def _report(
    recipe: Recipe,
    protocol: Protocol,
    results: Sequence[CellResult],
    *,
    model: Classifier,
    data: Data,
    runtime: Runtime,
) -> RepeatedReport:
    judged = tuple(result.judged for result in results)
    census = model.census()
    return RepeatedReport(
        name=recipe.name,
        protocol=_in_words(recipe, protocol, data),
        class_names=data.class_names,
        judged=judged,
        metrics=summarise(judged, num_classes=len(data.class_names)),
        seconds=tuple(result.seconds for result in results),
        hashes=tuple(result.hashes for result in results),
        histories=tuple(result.history for result in results),
        parameters=Parameters(total=census.total, trainable=census.trainable),
        weights=recipe.model.weights or RANDOM,
        peak_memory_bytes=runtime.peak_memory_bytes(),
        recipe_source=config.dump(recipe),
        environment=environment(runtime),
        dropped=[(entry.path, entry.reason) for entry in data.dropped],
        notes=(*data.notes, *recipe.evaluation.notes()),
    )


def _in_words(recipe: Recipe, protocol: Protocol, data: Data) -> tuple[str, ...]:
    """The protocol, for a reader who knows neither the recipe nor this file."""
    last = recipe.seed + protocol.seeds - 1
    seeds = f"seeds {recipe.seed} to {last}" if protocol.seeds > 1 else f"seed {recipe.seed}"
    if protocol.on == "test":
        where = f"Each of {seeds} is judged on the dataset's own test split ({len(data.test):,} images)."
    else:
        where = (
            f"For each of {seeds} the images are divided anew into {protocol.folds} folds, stratified by class, groups "
            "together; each fold is judged by a model that was trained on the others."
        )
        if _ships_test(data):
            where += " The dataset's own test split was not looked at."
    inner = (
        f"In every cell {recipe.data.val_fraction:.0%} of the images trained on were carved out as its val split, "
        f"which chose {{}}; no image judged had a part in anything fitted or chosen."
    )
    if caching.reads_the_same(recipe.tuning, recipe.augment):
        chosen = inner.format("the strength of the L2 penalty")
        how = (
            "The head was fitted to the optimum of logistic regression on features computed once: the recipe's loss, "
            "optimiser, schedule and epochs had no part in it. The time of the first cell includes the features."
        )
        return where, chosen, how
    return where, inner.format("the epoch")


def _ships_test(data: Data) -> bool:
    return any(sample.split == "test" for sample in data.test)


def _claim(directory: RunDirectory, identity: Mapping[str, object]) -> str:
    """The digest of the evaluation, once it is sure that the directory holds no other.

    Raises:
        CheckpointError: It does.
    """
    text = json.dumps(identity, indent=1)
    file = directory.path / EVALUATION
    if file.exists():
        require_same(json.loads(file.read_text(encoding="utf-8")), json.loads(text), file)
    directory.write(EVALUATION, text)
    return hashlib.sha256(text.encode()).hexdigest()
