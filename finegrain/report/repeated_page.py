"""Render the record of a repeated evaluation as one self-contained HTML page, and as a short Markdown page."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from finegrain.errors import printable
from finegrain.metrics.repeated import ClassScore, Score
from finegrain.metrics.selection import COVERAGES
from finegrain.report.cells_chart import by_seed, mean_history, strips
from finegrain.report.chart import FRAME, charts, readings
from finegrain.report.confidence_chart import risk_chart
from finegrain.report.confusion import matrix
from finegrain.report.escape import one_line
from finegrain.report.format import MISSING, decimal, interval, percent, points
from finegrain.report.page import DROPPED_SHOWN, MOST_CONFUSED_SHOWN, figure
from finegrain.report.repeated_record import RepeatedRecord
from finegrain.report.repeated_tables import images_seen
from finegrain.report.templates import one_line_pairs, render
from finegrain.report.uncertainty import within

WORST_SHOWN = 10
"""The Markdown page names this many classes."""


def html(record: RepeatedRecord) -> str:
    """The whole report as one HTML page that asks for nothing from anywhere."""
    return render("repeated.html.jinja", _content(record))


def summary(record: RepeatedRecord) -> str:
    """The report in short, as Markdown."""
    return render("repeated.md.jinja", _content(record))


def _content(record: RepeatedRecord) -> dict[str, Any]:
    metrics = record.metrics
    names = [one_line(name) for name in record.class_names]
    classes = sorted(metrics.per_class, key=lambda row: (row.n == 0, row.recall))
    return {
        "record": record,
        "metrics": metrics,
        "name": one_line(record.name),
        "names": names,
        "weights": one_line(record.weights),
        "protocol": [one_line(sentence) for sentence in record.protocol],
        "uncertainties": record.uncertainties(),
        "measures": _measures(record),
        "strips": strips(by_seed(record.judged, [cell.top1 for cell in metrics.cells])),
        "heat": _heat(record),
        "risk_chart": risk_chart(metrics.risk),
        "half": metrics.risk[COVERAGES.index(0.5)],
        "confused": metrics.confused[:MOST_CONFUSED_SHOWN],
        "suspects": [figure(shown, names) for shown in record.suspects],
        "matrix": matrix(metrics.confusion, names) | {"unit": "answers"},
        "classes": [_class_row(record, row, names) for row in classes],
        "worst_shown": WORST_SHOWN,
        "recipe": printable(record.recipe_source),
        "environment": one_line_pairs(record.environment),
        "dropped": [(one_line(path), one_line(reason)) for path, reason in record.dropped],
        "dropped_shown": DROPPED_SHOWN,
        "notes": [one_line(note) for note in record.notes],
        "images_seen": sum(images_seen(record, index) for index in range(len(record.judged))),
        **_curves(record),
    }


def _curves(record: RepeatedRecord) -> dict[str, Any]:
    """The charts of the mean over the cells, with the cells behind it."""
    histories = [history for history in record.histories if history]
    mean = mean_history(histories)
    drawn = charts(mean, behind=histories if len(histories) > 1 else ())
    return {
        "chart_frame": FRAME,
        "charts": drawn,
        "readings": [readings(chart, [row["epoch"] for row in mean]) for chart in drawn],
        "resting": max((at for at, row in enumerate(mean) if len(row) > 1), default=-1),
    }


def _measures(record: RepeatedRecord) -> list[dict[str, str]]:
    metrics = record.metrics
    rows = [_share("top-1 accuracy", metrics.top1, [cell.top1 for cell in metrics.cells])]
    if len(record.class_names) > 5:
        rows.append(_share("top-5 accuracy", metrics.top5, [cell.top5 for cell in metrics.cells]))
    rows.append(_share("macro-F1", metrics.macro_f1, [cell.macro_f1 for cell in metrics.cells]))
    aurocs = [cell.auroc for cell in metrics.cells if cell.auroc is not None]
    rows.append(_number("AUROC, one against the rest", metrics.auroc, aurocs, digits=4, highest=1.0))
    rows.append(
        _number("log-loss, nats", metrics.loss, [cell.loss for cell in metrics.cells], digits=3, highest=math.inf)
    )
    rows.append(_number("Brier score", metrics.brier, [cell.brier for cell in metrics.cells], digits=3, highest=2.0))
    rows.append(_share("expected calibration error", metrics.ece, [cell.ece for cell in metrics.cells]))
    return rows


def _share(label: str, score: Score, values: Sequence[float]) -> dict[str, str]:
    return {
        "label": label,
        "mean": percent(score.spread.mean),
        "sd": points(score.spread.sd),
        "range": interval((min(values), max(values))),
        "training": interval(within(score.of_training)),
    }


def _number(label: str, score: Score | None, values: Sequence[float], *, digits: int, highest: float) -> dict[str, str]:
    if score is None:
        return {"label": label, "mean": MISSING, "sd": MISSING, "range": MISSING, "training": MISSING}

    def ends(pair: tuple[float, float] | None) -> str:
        return MISSING if pair is None else f"{decimal(pair[0], digits)}–{decimal(pair[1], digits)}"

    return {
        "label": label,
        "mean": decimal(score.spread.mean, digits),
        "sd": decimal(score.spread.sd, digits),
        "range": ends((min(values), max(values))),
        "training": ends(within(score.of_training, highest)),
    }


def _heat(record: RepeatedRecord) -> list[dict[str, Any]]:
    """A row for each seed: the top-1 accuracy of each fold, and how strongly its cell is coloured, in [0, 1]."""
    found = {(j.seed, j.fold): cell.top1 for j, cell in zip(record.judged, record.metrics.cells, strict=True)}
    shade = _shade(list(found.values()))
    rows = []
    for seed in record.seeds:
        values = [found.get((seed, fold)) for fold in record.folds]
        known = [value for value in values if value is not None]
        cells = [(value, 0.0 if value is None else shade(value)) for value in values]
        rows.append({"seed": seed, "cells": cells, "mean": float(np.mean(known))})
    return rows


def _shade(values: Sequence[float]) -> Callable[[float], float]:
    low, high = min(values), max(values)
    return lambda value: (value - low) / (high - low) if high > low else 0.0


def _class_row(record: RepeatedRecord, score: ClassScore, names: Sequence[str]) -> dict[str, Any]:
    """One class, and the class it is taken for most often, if any."""
    answers = record.metrics.confusion[score.index].copy()
    answers[score.index] = 0
    taken = int(answers.argmax())
    return {
        "score": score,
        "name": names[score.index],
        "taken_for": names[taken] if answers[taken] else None,
        "taken": int(answers[taken]),
    }
