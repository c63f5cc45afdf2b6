"""The command `crossval`: the same recipe trained again and again, each time judged on images it did not see."""

import dataclasses
import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from finegrain import caching, config
from finegrain.config import Count
from finegrain.data import splits
from finegrain.data.base import Data, Source
from finegrain.data.carve import carve
from finegrain.data.folds import Fold, make_folds
from finegrain.data.generated import refuse
from finegrain.engine.checkpoint import read_json
from finegrain.error_analysis import SHOWN_MISTAKES, See, features_by, show
from finegrain.errors import CheckpointError, DataError, fault
from finegrain.metrics.mistakes import Mistake
from finegrain.metrics.repeated import RepeatedMetrics, summarise
from finegrain.models.classifier import Classifier
from finegrain.recipe import FEATURES, Recipe, build_cache, build_model
from finegrain.repeated.cells import Cell, CellFiles, CellResult
from finegrain.repeated.judges import CELLS, cell_digest, judge_cells
from finegrain.report.record import Parameters, Shown
from finegrain.report.repeated import RepeatedReport
from finegrain.report.repeated_record import RANDOM
from finegrain.report.repeated_tables import RESULTS, result_row
from finegrain.runtime import Runtime, device_faults, environment
from finegrain.storage import RunDirectory

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
    """test: judge every seed on the test split instead."""

    def faults(self) -> list[str]:
        """One fold leaves nothing to train on."""
        if self.folds > 1 or self.on == "test":
            return []
        return [fault("folds", got=self.folds, expected="2 or more", remedy="set folds=5, or on=test")]

    def cells(self, first_seed: int) -> list[Cell]:
        """All of them, in the order they run."""
        seeds = range(first_seed, first_seed + self.seeds)
        return [Cell(seed=seed, fold=fold) for seed in seeds for fold in range(self.folds if self.on == "folds" else 1)]


def crossval(recipe: Recipe, protocol: Protocol, *, directory: RunDirectory) -> str:
    """Train and judge every cell that is not finished yet; return what to print.

    Every cell is written when it is finished: stopped and begun again, only the missing ones run, and `results.csv` is
    the same to the byte. More seeds go on with the cells of fewer; those of more stay in that table.

    Raises:
        CheckpointError: The directory holds another evaluation.
        ConfigError: The recipe mixes generated images into train.
        DataError: The images cannot be divided so.
    """
    refuse(recipe.data, command="crossval")
    with directory, device_faults():
        runtime = recipe.runtime.build()
        table = recipe.data.table()
        model = build_model(recipe, num_classes=len(table.class_names), runtime=runtime)
        data = splits.build(recipe.data, table)
        plan = make_plan(recipe, protocol, data)
        weights = recipe.model.weights or RANDOM
        results = judge_cells(
            recipe,
            model,
            plan=plan,
            settings=config.flatten(protocol),
            file=EVALUATION,
            columns=RESULTS,
            row=lambda _, result: result_row(result.judged, weights=weights, hashes=result.hashes),
            data=data,
            runtime=runtime,
            directory=directory,
        )
        metrics = summarise([result.judged for result in results.values()], num_classes=len(data.class_names))
        cache = build_cache(recipe.runtime, run=directory.path)
        # Networks that begin with random weights see no likeness between images.
        see = features_by(model, source=data.source, runtime=runtime, cache=cache) if recipe.model.weights else None
        report = _report(
            recipe,
            protocol,
            list(results.values()),
            metrics=metrics,
            suspects=_show_suspects(metrics.suspects, plan.values(), source=data.source, see=see),
            model=model,
            data=data,
            runtime=runtime,
        )
        page = report.write(directory.path)
        shutil.rmtree(directory.path / FEATURES, ignore_errors=True)
    return f"{report.headline()}\n{page}"


def read_finished(path: Path) -> tuple[dict[str, Any], dict[Cell, CellResult]]:
    """What the finished evaluation in the directory `path` depends on, and its cells.

    Raises:
        CheckpointError: It is damaged, or not finished.
    """
    identity: dict[str, Any] = read_json(path / EVALUATION, dict)
    files = CellFiles(path / CELLS, evaluation=cell_digest(identity))
    try:
        plan = read_protocol(identity).cells(identity["seed"])
    except (KeyError, TypeError) as error:
        expected, remedy = "what crossval writes there", "restore it, or repeat that crossval with another --out"
        what = f"{path / EVALUATION} describes no evaluation"
        raise CheckpointError(fault(what, got=repr(error), expected=expected, remedy=remedy)) from error
    done = {cell: result for cell in plan if (result := files.load(cell)) is not None}
    if len(done) < len(plan):
        raise CheckpointError(
            fault(
                f"{path} is not finished",
                got=f"{len(done)} sound cells",
                expected=f"{len(plan)}",
                remedy="give its crossval command again: only the missing cells are computed",
            )
        )
    return identity, done


def read_protocol(identity: Mapping[str, Any]) -> Protocol:
    """The protocol of an evaluation, by what it depends on."""
    return Protocol(folds=identity["folds"], seeds=identity["seeds"], on=identity["on"])


def make_plan(recipe: Recipe, protocol: Protocol, data: Data) -> dict[Cell, Data]:
    """The splits of every cell; `val`, carved out of what is trained on, is what chooses there.

    Raises:
        DataError: A class is too small for so many folds, groups cannot be divided, or a val split would be empty.
    """
    outer = divide(protocol, data, first_seed=recipe.seed)
    plan = {cell: carve_val(recipe, data, fold, seed=cell.seed) for cell, fold in outer.items()}
    empty = [cell for cell, parts in plan.items() if not parts.val]
    if empty:
        folds = f"other folds than {protocol.folds}, " if protocol.on == "folds" else ""
        raise DataError(
            fault(
                "nothing can be carved out of what is trained on, to choose by",
                got=f"an empty val split in {len(empty)} of {len(plan)} cells, first in {empty[0]}",
                expected="a class of two images or more to train on, in groups that leave one of each class",
                remedy=f"try {folds}a larger data.val_fraction than {recipe.data.val_fraction:g}, or add images",
            )
        )
    return plan


def divide(protocol: Protocol, data: Data, *, first_seed: int) -> dict[Cell, Fold]:
    """What each cell may learn from, and what it is judged on; raises what `make_plan` does."""
    cells = protocol.cells(first_seed)
    folds = {seed: _divide(protocol, data, seed) for seed in dict.fromkeys(cell.seed for cell in cells)}
    return {cell: folds[cell.seed][cell.fold] for cell in cells}


def carve_val(recipe: Recipe, data: Data, fold: Fold, *, seed: int) -> Data:
    """The splits of a cell whose fold is given: part of what it may learn from becomes its val split."""
    inner = carve(fold.train, fraction=recipe.data.val_fraction, seed=seed)
    return dataclasses.replace(data, train=inner.kept, val=inner.taken, test=fold.held_out, dropped=(), notes=())


def _divide(protocol: Protocol, data: Data, seed: int) -> tuple[Fold, ...]:
    known = (*data.train, *data.val)
    if protocol.on == "test":
        return (Fold(train=known, held_out=data.test),)
    # The official test split stays unseen; a test split that was only carved out is data like any other.
    pool = known if ships_test(data) else (*known, *data.test)
    return make_folds(pool, folds=protocol.folds, seed=seed, class_names=data.class_names)


def _show_suspects(
    suspects: Sequence[Mistake], cells: Collection[Data], *, source: Source, see: See | None
) -> tuple[Shown, ...]:
    """The first suspected labels, beside images that the cells learned from."""
    return show(
        suspects[:SHOWN_MISTAKES],
        images=[sample for cell in cells for sample in cell.test],
        pool=tuple(dict.fromkeys(sample for cell in cells for sample in (*cell.train, *cell.val))),
        source=source,
        see=see,
    )


def _report(
    recipe: Recipe,
    protocol: Protocol,
    results: Sequence[CellResult],
    *,
    metrics: RepeatedMetrics,
    suspects: Sequence[Shown],
    model: Classifier,
    data: Data,
    runtime: Runtime,
) -> RepeatedReport:
    census = model.census()
    return RepeatedReport(
        name=recipe.name,
        protocol=in_words(recipe, protocol, data),
        class_names=data.class_names,
        judged=tuple(result.judged for result in results),
        metrics=metrics,
        suspects=suspects,
        seconds=tuple(result.seconds for result in results),
        hashes=tuple(result.hashes for result in results),
        histories=tuple(result.history for result in results),
        parameters=Parameters(total=census.total, trainable=census.trainable),
        weights=recipe.model.weights or RANDOM,
        peak_memory_bytes=max((r.peak_memory_bytes for r in results if r.peak_memory_bytes), default=None),
        recipe_source=config.dump(recipe),
        environment=environment(runtime),
        dropped=[(entry.path, entry.reason) for entry in data.dropped],
        notes=(*data.notes, *recipe.evaluation.notes()),
    )


def in_words(recipe: Recipe, protocol: Protocol, data: Data) -> tuple[str, ...]:
    """The protocol, for a reader who knows neither the recipe nor this file."""
    last = recipe.seed + protocol.seeds - 1
    seeds = f"seeds {recipe.seed} to {last}" if protocol.seeds > 1 else f"seed {recipe.seed}"
    if protocol.on == "test":
        images = f"{len(data.test):,} images"
        test = f"the dataset's own test split ({images})"
        if not ships_test(data):
            test = f"one test split, carved out of the dataset with seed {recipe.data.split_seed} ({images})"
        where = f"Each of {seeds} is judged on {test}."
    else:
        where = (
            f"For each of {seeds} the images are divided anew into {protocol.folds} folds, stratified by class, groups "
            "together; each fold is judged by a model that was trained on the others."
        )
        if ships_test(data):
            where += " The dataset's own test split was not looked at."
    inner = (
        f"In every cell {recipe.data.val_fraction:.0%} of the images trained on were carved out as its val split, "
        f"which {{}}; no image judged had a part in anything fitted or chosen."
    )
    if caching.reads_the_same(recipe.tuning, recipe.augment):
        chosen = inner.format("chose the strength of the L2 penalty")
        how = (
            "The head was fitted to the optimum of logistic regression on features computed once: the recipe's loss, "
            "optimiser, schedule and epochs had no part in it. The time of the first cell includes the features."
        )
        return where, chosen, how
    kept = "chose the epoch" if recipe.train.monitor != "last" else "chose nothing, as the last epoch is kept"
    return where, inner.format(kept)


def ships_test(data: Data) -> bool:
    """Whether the test split is the dataset's own, not carved out."""
    return any(sample.split == "test" for sample in data.test)
