"""Geometry of a learning curve: accuracy over the images trained on, on a logarithmic axis, and what is only fitted."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from finegrain.metrics.statistics import Interval
from finegrain.report.cells_chart import EDGE, LABEL_ROOM
from finegrain.report.chart import BOTTOM, HEIGHT, LEFT, TOP, WIDTH, joined, scale, ticks
from finegrain.report.format import interval, percent
from finegrain.report.learning_curve_record import LearningCurveRecord, Point

Place = Callable[[float], float]
"""Number or per cent → coordinate."""

STEPS = 40
"""Straight pieces that a curve is drawn with."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Mark:
    """A measured point."""

    x: float
    y: float
    ends: tuple[float, float]
    """Heights of the interval's ends; both `y` where there is none."""
    name: str


@dataclass(frozen=True, kw_only=True, slots=True)
class CurveChart:
    """The chart, ready to be drawn."""

    x_ticks: tuple[tuple[float, str], ...]
    """Coordinate and label."""
    y_ticks: tuple[tuple[float, str], ...]
    marks: tuple[Mark, ...]
    fitted: str
    """SVG path of the law among the measured points; empty without a fit, as the following."""
    extrapolated: str
    """The same beyond them."""
    band: str
    """SVG path of the area of its interval."""
    measured_x: float
    """Where the measured points end."""


def curve_chart(record: LearningCurveRecord) -> CurveChart:
    """The points with their intervals, the law as far as they go, and beyond them."""
    first, last = record.points[0].trained, record.points[-1].trained
    ahead = record.ahead()
    far = ahead[-1].trained if ahead else last
    beyond = np.geomspace(last, far, STEPS)
    band = record.fit.intervals(beyond.tolist()) if record.fit and ahead else None
    heights = [100 * height for point in record.points for height in (point.top1, *_ends(point))]
    heights += [100 * value.top1 for value in ahead] + [100 * end for ends in band or () for end in ends]
    y_ticks = ticks(min(heights), max(heights), count=6)
    y = scale(y_ticks[0], y_ticks[-1], HEIGHT - BOTTOM, TOP)
    place = scale(np.log(first), np.log(far), LEFT + 2 * EDGE, WIDTH - 2 * EDGE)

    def x(count: float) -> float:
        return place(float(np.log(count)))

    def path(counts: Iterable[float], shares: Iterable[float]) -> str:
        return joined([(x(count), y(100 * share)) for count, share in zip(counts, shares, strict=True)])

    def law(counts: NDArray[np.float64]) -> str:
        return path(counts, record.fit.law.at(counts)) if record.fit else ""

    edges = [low for low, _ in band or ()] + [high for _, high in reversed(band or [])]
    labelled = [point.trained for point in record.points] + [value.trained for value in ahead]
    return CurveChart(
        x_ticks=_apart([(x(count), f"{count:.3g}") for count in labelled]),
        y_ticks=tuple((y(tick), f"{tick:g}") for tick in y_ticks),
        marks=tuple(_mark(point, x, y) for point in record.points),
        fitted=law(np.geomspace(first, last, STEPS)),
        extrapolated=law(beyond),
        band=f"{path((*beyond, *beyond[::-1]), edges)}Z" if band else "",
        measured_x=x(last),
    )


def _ends(point: Point) -> Interval:
    return point.interval or (point.top1, point.top1)


def _mark(point: Point, x: Place, y: Place) -> Mark:
    low, high = _ends(point)
    return Mark(
        x=x(point.trained),
        y=y(100 * point.top1),
        ends=(y(100 * high), y(100 * low)),
        name=f"{point.trained:.3g} images of each class to train on, of {point.per_class}: {percent(point.top1)} "
        f"({interval(point.interval)})",
    )


def _apart(labels: Sequence[tuple[float, str]]) -> tuple[tuple[float, str], ...]:
    """The labels that have room, from the left."""
    kept: list[tuple[float, str]] = []
    for place, label in labels:
        if not kept or place - kept[-1][0] >= LABEL_ROOM:
            kept.append((place, label))
    return tuple(kept)
