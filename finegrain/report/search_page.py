"""Render the record of a search of settings as one self-contained HTML page."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.ticker import LogLocator

from finegrain.errors import printable
from finegrain.report.chart import BOTTOM, FRAME, HEIGHT, LEFT, TOP, WIDTH, scale, ticks
from finegrain.report.escape import one_line
from finegrain.report.format import MISSING, decimal, percent
from finegrain.report.search_record import SearchRecord, Trial, Varied
from finegrain.report.templates import one_line_pairs, render

EDGE = 12
"""Margin at the right, where these charts have no labels."""
NAMES = {"top1": "top-1", "macro_f1": "macro-F1", "loss": "loss"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Scatter:
    """One chart: a dot for each trial, its validation figure over something."""

    title: str
    x_ticks: Sequence[tuple[float, str]]
    """Coordinate and label."""
    y_ticks: Sequence[tuple[float, str]]
    dots: Sequence[tuple[float, float, str, str]]
    """Coordinates, CSS class, and what the dot says when pointed at."""


def html(record: SearchRecord) -> str:
    """The whole report as one HTML page that asks for nothing from anywhere."""
    return render(
        "search.html.jinja",
        {
            "record": record,
            "name": one_line(record.name),
            "metric": NAMES[record.monitor],
            "best": _figure(record, record.best.figure),
            "setting": one_line(" ".join(record.setting)),
            "varied": [(varied.key, one_line(varied.words)) for varied in record.varied],
            "chart_frame": FRAME | {"right": WIDTH - EDGE},
            "charts": scatters(record),
            "rows": [_row(record, trial) for trial in record.trials],
            "protocol": [one_line(sentence) for sentence in record.protocol],
            "recipe": printable(record.recipe_source),
            "environment": one_line_pairs(record.environment),
        },
    )


def scatters(record: SearchRecord) -> list[Scatter]:
    """The trials' figures in the order the trials began, and over each key that was varied; stopped ones included."""
    factor = 1 if record.monitor == "loss" else 100
    figures = {trial.number: factor * trial.figure for trial in record.trials if trial.figure is not None}
    drawn = [trial for trial in record.trials if trial.number in figures]
    low, high = _frame([figures[trial.number] for trial in drawn if not trial.stopped])
    heights = {number: min(max(figure, low), high) for number, figure in figures.items()}
    y_ticks = ticks(min(heights.values()), max(heights.values()), count=5)
    y = scale(y_ticks[0], y_ticks[-1], HEIGHT - BOTTOM, TOP)

    def chart(title: str, x_ticks: Sequence[tuple[float, str]], places: Mapping[int, float]) -> Scatter:
        dots = [
            (places[trial.number], y(heights[trial.number]), _kind(record, trial), _title(record, trial))
            for trial in drawn
        ]
        return Scatter(title=title, x_ticks=x_ticks, y_ticks=[(y(tick), f"{tick:g}") for tick in y_ticks], dots=dots)

    last = max(heights)
    order = scale(0, last, LEFT + EDGE, WIDTH - 2 * EDGE)
    begun = [(order(tick), f"{tick:g}") for tick in ticks(0, last, count=6, integer=True) if 0 <= tick <= last]
    over = [chart("trial", begun, {number: order(number) for number in heights})]
    for varied in record.varied:
        found, x_ticks = _places(varied, [trial.values[varied.key] for trial in drawn])
        over.append(chart(varied.key, x_ticks, dict(zip(heights, found, strict=True))))
    return over


def _frame(finished: Sequence[float]) -> tuple[float, float]:
    """The figures that are drawn in their place: those of finished trials, and as much again on either side.

    A trial that learned nothing would otherwise press all others together.
    """
    span = max(finished) - min(finished) or math.inf
    return min(finished) - span, max(finished) + span


def _places(varied: Varied, values: Sequence[Any]) -> tuple[list[float], list[tuple[float, str]]]:
    """Where `values` lie from left to right, and the labels below."""
    start, end = LEFT + EDGE, WIDTH - 2 * EDGE
    if varied.choices:
        room = (end - start) / len(varied.choices)
        middles = {word: start + (at + 0.5) * room for at, word in enumerate(varied.choices)}
        return [middles[value] for value in values], [(x, one_line(word)) for word, x in middles.items()]
    if not varied.log:
        x = scale(varied.low, varied.high, start, end)
        marks = ticks(varied.low, varied.high, count=5)
    else:
        ratio = scale(0, 1, start, end)
        decades = math.log10(varied.high / varied.low)

        def x(value: float) -> float:
            return ratio(math.log10(value / varied.low) / decades)

        marks = [
            float(mark)
            for mark in LogLocator(subs=(1, 2, 5) if decades < 2 else (1,)).tick_values(varied.low, varied.high)
        ]
    inside = [mark for mark in marks if varied.low * (1 - 1e-9) <= mark <= varied.high * (1 + 1e-9)]
    return [x(value) for value in values], [(x(mark), f"{mark:g}") for mark in inside]


def _row(record: SearchRecord, trial: Trial) -> dict[str, Any]:
    return {
        "trial": trial,
        "kind": _kind(record, trial),
        "cells": [(_short(trial.values[varied.key]), _order(varied, trial)) for varied in record.varied],
        "figure": _figure(record, trial.figure),
        "loss": decimal(trial.loss),
        "stopped": one_line(trial.stopped),
    }


def _order(varied: Varied, trial: Trial) -> object:
    """What a table sorts by: numbers, and choices in the order they were named."""
    value = trial.values[varied.key]
    return varied.choices.index(str(value)) if varied.choices else value


def _kind(record: SearchRecord, trial: Trial) -> str:
    if trial.number == record.best.number:
        return "chosen"
    return "stopped" if trial.stopped else "done"


def _title(record: SearchRecord, trial: Trial) -> str:
    values = ", ".join(f"{key} {_short(value)}" for key, value in trial.values.items())
    return f"trial {trial.number}: {_figure(record, trial.figure)}; {values}"


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else one_line(str(value))


def _figure(record: SearchRecord, value: float | None) -> str:
    if value is None:
        return MISSING
    return decimal(value) if record.monitor == "loss" else percent(value)
