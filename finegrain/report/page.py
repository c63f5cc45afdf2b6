"""Render a record as one self-contained HTML page, and as a short Markdown page."""

import base64
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

import jinja2
from markupsafe import Markup

from finegrain.errors import printable
from finegrain.metrics.classification import ClassificationMetrics
from finegrain.metrics.confusion import most_confused
from finegrain.report.chart import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Chart, charts
from finegrain.report.confusion import similarity_order, sparse
from finegrain.report.escape import markdown, one_line
from finegrain.report.format import MISSING, count, decimal, duration, interval, percent, size
from finegrain.report.record import Mistake, Record

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
    assets = {name: Markup(_asset(name)) for name in ("report.css", "tables.js", "charts.js", "confusion.js")}
    return _environment().get_template("report.html.jinja").render(**_content(record), assets=assets)


def summary(record: Record) -> str:
    """The report in short, as Markdown."""
    return _environment().get_template("report.md.jinja").render(**_content(record))


def _content(record: Record) -> dict[str, Any]:
    names = [one_line(name) for name in record.class_names]
    epochs = [row["epoch"] for row in record.history]
    drawn = charts(record.history, best_epoch=record.best_epoch)
    return {
        "record": record,
        "name": one_line(record.name),
        "names": names,
        "headline": [row for row in HEADLINE if row[1] != "top5" or len(names) > 5],
        "chart_frame": {
            "width": WIDTH, "height": HEIGHT, "left": LEFT, "right": WIDTH - RIGHT,
            "top": TOP, "bottom": HEIGHT - BOTTOM,
        },
        "charts": drawn,
        "readings": [_readings(chart, epochs) for chart in drawn],
        "resting": epochs.index(record.best_epoch) if record.best_epoch in epochs else -1,
        "confused": most_confused(record.test.confusion, MOST_CONFUSED_SHOWN),
        "matrix": _matrix(record.test, names),
        "classes": sorted(record.test.per_class, key=lambda row: (row.n == 0, row.f1)),
        "mistakes": [_figure(mistake, names) for mistake in record.mistakes],
        "recipe": printable(record.recipe_source),
        "environment": _lines(record.environment),
        "dropped": [(one_line(path), one_line(reason)) for path, reason in record.dropped],
        "dropped_shown": DROPPED_SHOWN,
        "notes": [one_line(note) for note in record.notes],
    }  # fmt: skip


def _matrix(metrics: ClassificationMetrics, names: Sequence[str]) -> dict[str, Any]:
    return {
        "names": names,
        "counts": [row.n for row in metrics.per_class],
        "cells": sparse(metrics.confusion),
        "similar": similarity_order(metrics.confusion),
    }


def _readings(chart: Chart, epochs: Sequence[float]) -> list[str]:
    """What the page shows of a chart when an epoch is pointed at."""
    columns = zip(*(line.values for line in chart.lines), strict=True)
    rows = ([f"{line.name} {_short(value)}" for line, value in zip(chart.lines, row, strict=True)] for row in columns)
    return [f"epoch {epoch:g}: {', '.join(row)}" for epoch, row in zip(epochs, rows, strict=True)]


def _short(value: float | None) -> str:
    return MISSING if value is None else f"{value:.4g}"


def _figure(mistake: Mistake, names: Sequence[str]) -> dict[str, Any]:
    return {
        "path": one_line(mistake.path),
        "label": names[mistake.label],
        "predicted": names[mistake.predicted],
        "probability": mistake.probability,
        "image": _data_uri(mistake.image),
        "example": None if mistake.example is None else _data_uri(mistake.example),
    }


def _lines(pairs: Mapping[str, str]) -> list[tuple[str, str]]:
    return [(one_line(key), one_line(value)) for key, value in pairs.items()]


def _data_uri(jpeg: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode("ascii")


def _asset(name: str) -> str:
    return resources.files("finegrain.report").joinpath(name).read_text(encoding="utf-8")


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("finegrain", "report"),
        autoescape=lambda name: name is not None and ".html" in name,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": percent,
        "interval": interval,
        "decimal": decimal,
        "count": count,
        "duration": duration,
        "size": size,
        "markdown": markdown,
    }
    return environment
