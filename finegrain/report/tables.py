"""The report's machine-readable files: metrics.json, history.csv and predictions.csv."""

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from finegrain.report.escape import csv_cell, one_line
from finegrain.report.record import Predictions, Record

HISTORY_COLUMNS = ("epoch", "train_loss", "eval_loss", "eval_top1", "eval_top5", "lr")
"""The names and order of timm's summary.csv; accuracies are fractions here, per cent there."""


def metrics_json(record: Record) -> str:
    """The run's numbers as JSON: fractions in [0, 1], seconds, bytes; what is not finite is null."""
    content = {
        "name": one_line(record.name),
        "num_classes": len(record.class_names),
        "val": record.val.as_dict() if record.val else None,
        "test": record.test.as_dict(),
        "checkpoint": record.checkpoint,
        "views": record.views,
        "calibration": asdict(record.confidence) if record.confidence else None,
        "test_evaluations": record.test_evaluations,
        "test_evaluations_for_curves": record.curve_looks,
        "kept_epoch": record.kept_epoch,
        "parameters": {"total": record.parameters.total, "trainable": record.parameters.trainable},
        "seconds": sum(record.seconds.values()),
        "seconds_by_phase": dict(record.seconds),
        "images_per_second": _images_per_second(record),
        "peak_memory_bytes": record.peak_memory_bytes,
        "splits": {name: {"count": s.count, "sha256": s.sha256} for name, s in record.splits.items()},
        "dropped": [{"path": one_line(path), "reason": one_line(reason)} for path, reason in record.dropped],
        "notes": [one_line(note) for note in record.notes],
        "environment": {key: one_line(value) for key, value in record.environment.items()},
    }
    return json_text(content)


def _images_per_second(record: Record) -> float | None:
    """As `repeated_tables.images_seen` counts: those trained on, once an epoch, and those judged."""
    seconds, train = sum(record.seconds.values()), record.splits.get("train")
    if train is None or not seconds > 0:
        return None
    return (train.count * max(len(record.history), 1) + record.test.n) / seconds


def history_csv(history: Sequence[Mapping[str, float]]) -> str:
    """One row an epoch under timm's column names; further keys of the rows follow as further columns."""
    given = dict.fromkeys(key for row in history for key in row)
    columns = [name for name in HISTORY_COLUMNS if name in given]
    columns += [name for name in given if name not in HISTORY_COLUMNS]
    return csv_text(columns, ([_cell(row, name) for name in columns] for row in history))


def predictions_csv(predictions: Predictions, class_names: Sequence[str]) -> str:
    """One row an image: path, true class, and the likeliest classes (5, or all where K < 5) with probabilities."""
    names = [csv_cell(name) for name in class_names]
    ranked = np.argsort(-predictions.probabilities, axis=1, kind="stable")[:, :5]
    header = ["path", "label"]
    for rank in range(1, ranked.shape[1] + 1):
        header += [f"class_{rank}", f"probability_{rank}"]
    return csv_text(header, (_prediction_row(i, top, predictions, names) for i, top in enumerate(ranked)))


def _cell(row: Mapping[str, float], name: str) -> object:
    return int(row[name]) if name == "epoch" else row.get(name, "")


def _prediction_row(index: int, top: Iterable[int], predictions: Predictions, names: Sequence[str]) -> list[object]:
    row: list[object] = [csv_cell(predictions.paths[index]), names[predictions.labels[index]]]
    for label in top:
        row += [names[label], f"{predictions.probabilities[index, label]:.6g}"]
    return row


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table with a heading as CSV, lines ended by a newline alone."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return buffer.getvalue()


def json_text(content: Mapping[str, Any]) -> str:
    """`content` as JSON, with null for what is not finite."""
    return json.dumps(_finite(content), indent=2, allow_nan=False) + "\n"


def _finite(value: Any) -> Any:
    """`value` with every NaN and infinity, which JSON has not, as None."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
