"""A small repeated evaluation to report on, with any class names."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from report_sample import history

from finegrain.metrics.repeated import Judged, summarise
from finegrain.report.record import Parameters
from finegrain.report.repeated import RepeatedReport


def judged(num_classes: int = 3, *, seeds: int = 2, folds: int = 3, per_class: int = 2) -> tuple[Judged, ...]:
    """Every fold holds `per_class` images of each class; about a third of the answers is wrong."""
    cells = []
    for seed in range(seeds):
        for fold in range(folds):
            rng = np.random.default_rng([seed, fold])
            labels = np.repeat(np.arange(num_classes), per_class)
            scores = rng.uniform(size=(len(labels), num_classes))
            scores[np.arange(len(labels)), labels] += rng.uniform(0.0, 1.2, size=len(labels))
            cells.append(
                Judged(
                    seed=seed,
                    fold=fold,
                    trained_images=(folds - 1 or 1) * len(labels),
                    paths=tuple(f"{label}/{fold}-{i}.jpg" for i, label in enumerate(labels)),
                    labels=labels,
                    probabilities=scores / scores.sum(axis=1, keepdims=True),
                )
            )
    return tuple(cells)


def course(cell: int) -> list[dict[str, float]]:
    """The history of a cell: four epochs, or five of every second one, a little worse than those of the cell before."""
    return [row | {"eval_top1": row["eval_top1"] - 0.01 * cell} for row in history(4 + cell % 2)]


def make_repeated(
    class_names: Sequence[str] = ("wren", "robin", "jay"), *, cells: Sequence[Judged] = (), **fields: Any
) -> RepeatedReport:
    """A report on such cells; `fields` replace its own."""
    cells = tuple(cells) or judged(len(class_names))
    values: dict[str, Any] = {
        "name": "birds",
        "protocol": ("Every image is held out once for each seed.", "val chose the epoch."),
        "class_names": class_names,
        "judged": cells,
        "metrics": summarise(cells, num_classes=len(class_names), draws=200),
        "seconds": tuple(1.5 + i for i in range(len(cells))),
        "hashes": tuple(
            {split: f"{split[0]}{i}" * 32 for split in ("train", "val", "test")} for i in range(len(cells))
        ),
        "parameters": Parameters(total=11_279_112, trainable=102_600),
        "weights": "a1_in1k",
        "histories": tuple(course(i) for i in range(len(cells))),
        "peak_memory_bytes": 1_610_612_736,
        "recipe_source": "def config():\n    return Recipe(a < b)\n",
        "environment": {"torch": "2.15.0"},
        "dropped": [("train/broken.jpg", "truncated")],
        "notes": ["The dataset names no groups."],
    }
    return RepeatedReport(**(values | fields))
