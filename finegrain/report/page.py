"""Render a record as one self-contained HTML page, and as a short Markdown page."""

from collections.abc import Sequence
from typing import Any

from finegrain.errors import printable
from finegrain.metrics.confusion import most_confused
from finegrain.metrics.mistakes import Extremes
from finegrain.report.chart import FRAME, charts, readings
from finegrain.report.confidence_chart import confidence_charts
from finegrain.report.confidence_words import promises
from finegrain.report.confusion import matrix
from finegrain.report.escape import one_line
from finegrain.report.feature_map import MAP_FRAME, feature_map
from finegrain.report.gallery import data_uri
from finegrain.report.perception import perception
from finegrain.report.record import Likeness, Record, Shown
from finegrain.report.templates import one_line_pairs, render

MOST_CONFUSED_SHOWN = 14
DROPPED_SHOWN = 100
"""The page lists this many dropped images; metrics.json lists all."""

HEADLINE = (
    ("top-1 accuracy", "top1"),
    ("top-5 accuracy", "top5"),
    ("mean per class", "mean_per_class"),
    ("macro-F1", "macro_f1"),
    ("macro-precision", "macro_precision"),
    ("macro-recall", "macro_recall"),
)
"""The fractions of the headline: how the page calls them, and how the metrics do."""


def html(record: Record) -> str:
    """The whole report as one HTML page that asks for nothing from anywhere."""
    return render("report.html.jinja", _content(record))


def summary(record: Record) -> str:
    """The report in short, as Markdown."""
    return render("report.md.jinja", _content(record))


def _content(record: Record) -> dict[str, Any]:
    names = [one_line(name) for name in record.class_names]
    epochs = [row["epoch"] for row in record.history]
    drawn = charts(record.history, kept_epoch=record.kept_epoch)
    return {
        "record": record,
        "name": one_line(record.name),
        "names": names,
        "headline": [row for row in HEADLINE if row[1] != "top5" or len(names) > 5],
        "chart_frame": FRAME,
        "charts": drawn,
        "readings": [readings(chart, epochs) for chart in drawn],
        "resting": epochs.index(record.kept_epoch) if record.kept_epoch in epochs else -1,
        "confidence_charts": confidence_charts(record.confidence) if record.confidence else (),
        "promises": promises(record.confidence) if record.confidence else (),
        "confused": most_confused(record.test.confusion, MOST_CONFUSED_SHOWN),
        "matrix": matrix(record.test.confusion, names),
        "classes": sorted(record.test.per_class, key=lambda row: (row.n == 0, row.f1)),
        "unexplained": one_line(record.errors.unexplained),
        "mistakes": [figure(shown, names) for shown in record.errors.mistakes],
        "extremes": [_ends(ends, record, names) for ends in record.errors.extremes],
        "stamps": len(record.errors.stamps),
        "feature_map": feature_map(record),
        "map_frame": MAP_FRAME,
        "perception": perception(record.perception, names),
        "structure": printable(record.structure),
        "recipe": printable(record.recipe_source),
        "environment": one_line_pairs(record.environment),
        "dropped": [(one_line(path), one_line(reason)) for path, reason in record.dropped],
        "dropped_shown": DROPPED_SHOWN,
        "notes": [one_line(note) for note in record.notes],
    }


def figure(shown: Shown, names: Sequence[str]) -> dict[str, Any]:
    """A mistake as the gallery's template takes it."""
    mistake = shown.mistake
    alike = {names[mistake.predicted]: shown.like_predicted, names[mistake.label]: shown.like_label}
    return {
        "path": one_line(mistake.path),
        "label": names[mistake.label],
        "predicted": names[mistake.predicted],
        "probability": mistake.probability,
        "label_probability": mistake.label_probability,
        "image": data_uri(shown.image),
        "heat": data_uri(shown.heat) if shown.heat else None,
        "alike": [(name, _alike(like)) for name, like in alike.items()] if any(alike.values()) else (),
    }


def _alike(like: Likeness | None) -> dict[str, Any] | None:
    if like is None:
        return None
    return {"path": one_line(like.path), "image": data_uri(like.image), "cosine": like.cosine, "among": like.among}


def _ends(ends: Extremes, record: Record, names: Sequence[str]) -> dict[str, Any]:
    return {
        "name": names[ends.label],
        "hardest": [_stamp(row, record, names) for row in ends.hardest],
        "easiest": [_stamp(row, record, names) for row in ends.easiest],
    }


def _stamp(row: int, record: Record, names: Sequence[str]) -> dict[str, Any]:
    label, said = record.predictions.labels[row], record.predictions.probabilities[row]
    return {
        "path": one_line(record.predictions.paths[row]),
        "probability": float(said[label]),
        "taken_for": None if said.argmax() == label else names[said.argmax()],
        "image": data_uri(record.errors.stamps[row]),
    }
