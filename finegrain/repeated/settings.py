"""What a comparison tells of each finished evaluation beside its verdict: figures, cost and protocol."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finegrain import config
from finegrain.errors import CheckpointError, fault
from finegrain.metrics.intervals import wilson
from finegrain.metrics.repeated import Judged, summarise
from finegrain.metrics.statistics import spread
from finegrain.report.comparison_record import Setting
from finegrain.report.uncertainty import uncertainties

_METRICS = "metrics.json"


def setting_of_run(path: Path, hits: NDArray[np.bool_]) -> Setting:
    """A single run, by what it got right of its test images [N] and by the report it left.

    Raises:
        CheckpointError: Its metrics.json is damaged.
    """
    found = _Metrics(path / _METRICS)
    top1 = float(hits.mean())
    macro_f1, auroc = found.number("test", "macro_f1"), found.number("test", "auroc")
    return Setting(
        name=str(path),
        top1=spread(np.array([top1])),
        interval=wilson(int(hits.sum()), len(hits)),
        interval_of="other images; it says nothing of another training",
        trainings=(("one training", top1),),
        images=len(hits),
        macro_f1=None if macro_f1 is None else spread(np.array([macro_f1])),
        auroc=None if auroc is None else spread(np.array([auroc])),
        recipe=_recipe(path / "config.py"),
        protocol=(*_course(found, len(hits)), *found.sentences("notes")),
        **found.costs(),
    )


def setting_of_cells(path: Path, judged: Sequence[Judged], *, num_classes: int) -> Setting:
    """A repeated evaluation, by its cells and by the report it left.

    Raises:
        CheckpointError: Its metrics.json is damaged.
    """
    found, metrics = _Metrics(path / _METRICS), summarise(judged, num_classes=num_classes)
    seeds, folds = (len({getattr(cell, name) for cell in judged}) for name in ("seed", "fold"))
    # Of both where that is known, else of the images, else of training.
    known = [row for row in reversed(uncertainties(metrics, seeds=seeds, folds=folds)) if row.interval]
    fold = ", fold {}" if folds > 1 else ""
    return Setting(
        name=str(path),
        top1=metrics.top1.spread,
        interval=known[0].interval if known else None,
        interval_of=known[0].of if known else "",
        trainings=tuple(
            (f"seed {cell.seed}" + fold.format(cell.fold), scores.top1)
            for cell, scores in zip(judged, metrics.cells, strict=True)
        ),
        images=metrics.images,
        macro_f1=metrics.macro_f1.spread,
        auroc=metrics.auroc.spread if metrics.auroc else None,
        recipe=_recipe(path / "config.py"),
        protocol=(*found.sentences("protocol"), *found.sentences("notes")),
        **found.costs(),
    )


def _recipe(file: Path) -> dict[str, str]:
    """What a directory's config.py says, which is not run; empty where it is not as a run writes it."""
    try:
        said = config.read_dump(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {
        key: str(value).lower() if value is None or isinstance(value, bool) else str(value)
        for key, value in said.items()
    }


def _course(found: "_Metrics", images: int) -> list[str]:
    """How a single run came about, as far as it is told."""
    trained, kept, looks = (
        found.number("splits", "train", "count"),
        found.number("kept_epoch"),
        found.number("test_evaluations"),
    )
    words = [
        f"One training{'' if trained is None else f' on {trained:,.0f} images'}, judged on {images:,} test images."
    ]
    words += [] if kept is None else [f"The model of epoch {kept:.0f} was kept."]
    words += [] if looks is None else [f"Its test split was looked at {looks:.0f} {'time' if looks == 1 else 'times'}."]
    return words


class _Metrics:
    """The metrics.json of a report, whoever wrote it: what it does not hold, or not as expected, is not known."""

    def __init__(self, file: Path) -> None:
        self._content: Any = None
        if file.is_file():
            try:
                self._content = json.loads(file.read_bytes())
            except ValueError as error:
                remedy = "give the command of its evaluation again, which writes it anew"
                raise CheckpointError(
                    fault(f"{file} is damaged", got=str(error), expected="JSON", remedy=remedy)
                ) from error

    def number(self, *keys: str) -> float | None:
        found = self._at(keys)
        return found if isinstance(found, int | float) and math.isfinite(found) else None

    def sentences(self, key: str) -> list[str]:
        found = self._at((key,))
        return [text for text in found if isinstance(text, str)] if isinstance(found, list) else []

    def costs(self) -> dict[str, Any]:
        trainable, memory = self.number("parameters", "trainable"), self.number("peak_memory_bytes")
        return {
            "trainable": None if trainable is None else int(trainable),
            "seconds": self.number("seconds"),
            "peak_memory_bytes": None if memory is None else int(memory),
            "images_per_second": self.number("images_per_second"),
        }

    def _at(self, keys: Sequence[str]) -> Any:
        found = self._content
        for key in keys:
            found = found.get(key) if isinstance(found, dict) else None
        return found
