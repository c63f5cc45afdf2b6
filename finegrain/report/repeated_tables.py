"""The machine-readable files of a repeated evaluation: the rows of results.csv, costs.csv and metrics.json."""

from collections.abc import Mapping
from typing import Any

from finegrain.metrics.classification import evaluate_predictions
from finegrain.metrics.repeated import Judged, Score
from finegrain.metrics.selection import COVERAGES
from finegrain.report.escape import csv_cell, one_line
from finegrain.report.repeated_record import RepeatedRecord
from finegrain.report.tables import csv_text, json_text

RESULTS = (
    "seed", "fold", "images", "trained_images", "top1", "top5", "macro_f1", "auroc", "loss", "ece", "brier",
    "weights", "train_sha256", "val_sha256", "test_sha256",
)  # fmt: skip
COSTS = ("seed", "fold", "seconds", "epochs", "images_seen", "images_per_second")
SUSPECTS = ("path", "label", "suggested", "probability_label", "probability_suggested")
SCORES = ("top1", "top5", "macro_f1", "auroc", "loss", "ece", "brier")
"""What has a mean over the cells, in the order it is written."""
CONFUSED_KEPT = 100
"""metrics.json names this many pairs of classes."""


def result_row(cell: Judged, *, weights: str, hashes: Mapping[str, str]) -> list[object]:
    """What `results.csv` says of a cell, under `RESULTS`."""
    metrics = evaluate_predictions(cell.labels, cell.probabilities)
    scores = [getattr(metrics, name) for name in SCORES]
    return [
        cell.seed, cell.fold, metrics.n, cell.trained_images, *("" if score is None else score for score in scores),
        csv_cell(weights), hashes["train"], hashes["val"], hashes["test"],
    ]  # fmt: skip


def costs_csv(record: RepeatedRecord) -> str:
    """One row a cell: wall time, epochs, images seen (see `images_seen`) and images a second."""
    rows = []
    for index, (cell, seconds) in enumerate(zip(record.judged, record.seconds, strict=True)):
        seen = images_seen(record, index)
        rate = f"{seen / seconds:.6g}" if seconds > 0 else ""
        rows.append([cell.seed, cell.fold, f"{seconds:.6g}", epochs(record, index), seen, rate])
    return csv_text(COSTS, rows)


def suspects_csv(record: RepeatedRecord) -> str:
    """One row a suspected label, most suspect first; see `metrics.label_errors`."""
    names = [csv_cell(name) for name in record.class_names]
    rows = (
        [
            csv_cell(suspect.path), names[suspect.label], names[suspect.predicted],
            f"{suspect.label_probability:.6g}", f"{suspect.probability:.6g}",
        ]
        for suspect in record.metrics.suspects
    )  # fmt: skip
    return csv_text(SUSPECTS, rows)


def images_seen(record: RepeatedRecord, index: int) -> int:
    """Images of one cell: those trained on, once an epoch or once where there were no epochs, and those judged."""
    cell = record.judged[index]
    return cell.trained_images * max(epochs(record, index), 1) + len(cell.paths)


def epochs(record: RepeatedRecord, index: int) -> int:
    """How many epochs one cell was trained; 0 where its head was fitted on features."""
    return len(record.histories[index]) if record.histories else 0


def _images_per_second(record: RepeatedRecord) -> float | None:
    seconds = sum(record.seconds)
    return sum(images_seen(record, index) for index in range(len(record.judged))) / seconds if seconds > 0 else None


def metrics_json(record: RepeatedRecord) -> str:
    """The evaluation's numbers as JSON: fractions in [0, 1], seconds, bytes; what is not known is null."""
    metrics = record.metrics
    content: dict[str, Any] = {
        "name": one_line(record.name),
        "num_classes": len(record.class_names),
        "images": metrics.images,
        "cells": [{"seed": cell.seed, "fold": cell.fold} for cell in record.judged],
        **{name: _score(record, name) for name in SCORES},
        "risk_coverage": {"coverage": COVERAGES, "risk": metrics.risk},
        "per_class": _per_class(record),
        "confused": _confused(record),
        "weights": one_line(record.weights),
        "parameters": {"total": record.parameters.total, "trainable": record.parameters.trainable},
        "seconds": sum(record.seconds),
        "seconds_by_cell": list(record.seconds),
        "images_per_second": _images_per_second(record),
        "peak_memory_bytes": record.peak_memory_bytes,
        "splits": [dict(hashes) for hashes in record.hashes],
        "protocol": [one_line(sentence) for sentence in record.protocol],
        "dropped": [{"path": one_line(path), "reason": one_line(reason)} for path, reason in record.dropped],
        "notes": [one_line(note) for note in record.notes],
        "environment": {one_line(key): one_line(value) for key, value in record.environment.items()},
    }
    return json_text(content)


def _score(record: RepeatedRecord, name: str) -> Mapping[str, Any] | None:
    score: Score | None = getattr(record.metrics, name)
    if score is None:
        return None
    written = {
        "mean": score.spread.mean,
        "variance": score.spread.variance,
        "sd": score.spread.sd,
        "cells": [getattr(cell, name) for cell in record.metrics.cells],
        "interval_training": score.of_training,
    }
    if name == "top1":
        written |= {"interval_images": record.metrics.of_images, "interval_both": record.metrics.of_both}
    return written


def _per_class(record: RepeatedRecord) -> list[dict[str, Any]]:
    return [
        {
            "index": row.index,
            "name": one_line(record.class_names[row.index]),
            "n": row.n,
            "recall": row.recall if row.n else None,
            "variance": row.spread.variance if row.spread else None,
            "sd": row.spread.sd if row.spread else None,
            "interval": row.interval,
        }
        for row in record.metrics.per_class
    ]


def _confused(record: RepeatedRecord) -> list[dict[str, Any]]:
    return [
        {"label": pair.label, "predicted": pair.predicted, "count": pair.count, "cells": pair.cells}
        for pair in record.metrics.confused[:CONFUSED_KEPT]
    ]
