"""The command `learning-curve`: accuracy by images of each class, and what more than there are would give."""

import dataclasses
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from finegrain import config
from finegrain.config import Count
from finegrain.data import splits
from finegrain.data.base import Data, Sample
from finegrain.data.generated import refuse
from finegrain.errors import DataError, fault
from finegrain.metrics.crossed import crossed_interval
from finegrain.metrics.power_law import fit_over_seeds
from finegrain.metrics.repeated import hit_matrix
from finegrain.metrics.statistics import bootstrap_interval, spread
from finegrain.recipe import FEATURES, Recipe, build_model
from finegrain.repeated.cells import Cell, CellResult
from finegrain.repeated.crossval import Protocol, carve_val, divide, in_words
from finegrain.repeated.judges import judge_cells
from finegrain.report.learning_curve import RESULTS, LearningCurveReport, result_row
from finegrain.report.learning_curve_record import Point
from finegrain.report.uncertainty import within
from finegrain.runtime import device_faults, environment, seed_of
from finegrain.storage import RunDirectory

CURVE = "learning_curve.json"
"""What a directory's curve depends on; a directory without it holds none."""


@dataclass(kw_only=True, slots=True)
class Sampling(Protocol):
    """How many images, how often, and on what."""

    counts: tuple[Count, ...] = ()
    """Images of each class to learn from; none: powers of two, up to what the smallest class leaves."""
    seeds: Count = 5


def learning_curve(recipe: Recipe, sampling: Sampling, *, directory: RunDirectory) -> str:
    """Train and judge every cell that is not finished yet; return what to print.

    A cell is a number of images of each class, a seed, and a fold. For one seed and fold the images of a smaller number
    are among those of a larger one. Stopped and begun again, only the missing cells run, and `results.csv` is the same
    to the byte. More seeds or other numbers of images go on with the cells there are, which all stay in that table.

    Raises:
        CheckpointError: The directory holds another curve.
        ConfigError: The recipe mixes generated images into train.
        DataError: A class has too few images, or the images cannot be divided so.
    """
    refuse(recipe.data, command="learning-curve")
    with directory, device_faults():
        runtime = recipe.runtime.build()
        table = recipe.data.table()
        model = build_model(recipe, num_classes=len(table.class_names), runtime=runtime)
        data = splits.build(recipe.data, table)
        plan = make_plan(recipe, sampling, data)
        counts = sorted({cell.per_class for cell in plan if cell.per_class})
        results = judge_cells(
            recipe,
            model,
            plan=plan,
            settings=config.flatten(sampling) | {"counts": counts},
            file=CURVE,
            columns=RESULTS,
            row=lambda cell, result: result_row(cell.per_class, result.judged, hashes=result.hashes),
            data=data,
            runtime=runtime,
            directory=directory,
        )
        points = tuple(_point(results, count, num_classes=len(data.class_names)) for count in counts)
        report = LearningCurveReport(
            name=recipe.name,
            class_names=data.class_names,
            points=points,
            fit=fit_over_seeds([point.trained for point in points], np.array([point.by_seed for point in points]).T),
            protocol=_in_words(recipe, sampling, data),
            recipe_source=config.dump(recipe),
            environment=environment(runtime),
            notes=(*data.notes, *recipe.evaluation.notes()),
        )
        page = report.write(directory.path)
        shutil.rmtree(directory.path / FEATURES, ignore_errors=True)
    return f"{report.headline()}\n{page}"


def make_plan(recipe: Recipe, sampling: Sampling, data: Data) -> dict[Cell, Data]:
    """The splits of every cell, small numbers of images first.

    Raises:
        DataError: A number is larger than the smallest class leaves, or leaves nothing to carve a val split out of;
            names the limits.
    """
    outer = divide(sampling, data, first_seed=recipe.seed)

    @cache
    def inner(cell: Cell, count: int) -> Data:
        fold = outer[cell]
        fewer = dataclasses.replace(fold, train=first_of_each_class(fold.train, count, seed=cell.seed))
        return carve_val(recipe, data, fewer, seed=cell.seed)

    def possible(count: int) -> bool:
        return count <= most and all(inner(cell, count).val for cell in outer)

    sizes = [Counter(sample.label for sample in fold.train) for fold in outer.values()]
    most = min(size[label] for size in sizes for label in range(len(data.class_names)))
    counts = sorted(set(sampling.counts)) or [n for n in (2**k for k in range(1, most.bit_length())) if possible(n)]
    wrong = [n for n in counts if not possible(n)]
    if wrong or not counts:
        least = next((n for n in range(1, most + 1) if possible(n)), None)
        limits = f"from {least}, below which val would be empty, to {most}, all that the smallest class leaves"
        raise DataError(
            fault(
                "numbers of images of each class that cannot be learned from",
                got=", ".join(map(str, wrong)) or f"{most} in the smallest class",
                expected=limits if least else "images, or groups of them, that a val split can be carved out of",
                remedy="set counts, or add images",
            )
        )
    return {dataclasses.replace(cell, per_class=n): inner(cell, n) for n in counts for cell in outer}


def first_of_each_class(samples: Sequence[Sample], count: int, *, seed: int) -> tuple[Sample, ...]:
    """`count` images of each class, drawn by `seed`: among those of any larger count, whatever order they come in."""
    ordered = sorted(samples, key=lambda sample: sample.path)
    generator = np.random.default_rng(seed_of(seed, "learning curve"))
    taken: Counter[int] = Counter()
    found = []
    for at in generator.permutation(len(ordered)):
        sample = ordered[at]
        if taken[sample.label] < count:
            taken[sample.label] += 1
            found.append(sample)
    return tuple(found)


def _point(results: Mapping[Cell, CellResult], count: int, *, num_classes: int) -> Point:
    found = [result for cell, result in results.items() if cell.per_class == count]
    judged = tuple(result.judged for result in found)
    hits, labels = hit_matrix(judged)
    both = crossed_interval(hits, labels)
    return Point(
        per_class=count,
        trained=float(np.mean([cell.trained_images for cell in judged])) / num_classes,
        images=len(labels),
        judged=judged,
        hashes=tuple(result.hashes for result in found),
        spread=spread(np.array([cell.hits.mean() for cell in judged])),
        by_seed=tuple(hits.mean(axis=1).tolist()),
        interval=within(both or bootstrap_interval(hits.mean(axis=0), labels)),
        of_training=both is not None,
    )


def _in_words(recipe: Recipe, sampling: Sampling, data: Data) -> tuple[str, ...]:
    drawn = (
        "For each seed and fold as many images of each class as the curve says were drawn from those there are to "
        "learn from, smaller numbers out of larger ones. They include the val split, one of each class or more."
    )
    return (drawn, *in_words(recipe, sampling, data))
