"""Geometry of the charts of confidence: how often sure answers are right, and what giving only these saves."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from finegrain.metrics.calibration import ReliabilityBin
from finegrain.metrics.confidence import Answered, Confidence
from finegrain.metrics.selection import COVERAGES
from finegrain.report.cells_chart import EDGE
from finegrain.report.chart import BOTTOM, HEIGHT, LEFT, TOP, WIDTH, joined, scale, ticks
from finegrain.report.format import count, interval, percent

Place = Callable[[float], float]
"""Per cent → coordinate."""

LARGEST = 7.0
"""Radius of the dot of the bin with the most images; the areas of the others are in proportion."""
SMALLEST = 1.5
"""No dot is smaller."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Dot:
    """A share with its interval."""

    x: float
    y: float
    ends: tuple[float, float]
    """Heights of the interval's ends."""
    radius: float
    name: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ConfidenceChart:
    """One chart, ready to be drawn; both axes are in per cent."""

    title: str
    x_title: str
    x_ticks: tuple[tuple[float, str], ...]
    """Coordinate and label."""
    y_ticks: tuple[tuple[float, str], ...]
    dashed: str = ""
    """Where dots should lie, as an SVG path."""
    line: str = ""
    """The curve, as an SVG path."""
    dots: tuple[Dot, ...] = ()


def confidence_charts(confidence: Confidence) -> tuple[ConfidenceChart, ...]:
    """Of test: reliability before and after the temperature, and the risks with the threshold marked."""
    return (
        reliability_chart("Right, as trained", confidence.test.before.reliability),
        reliability_chart(f"Right, temperature {confidence.temperature:.2f}", confidence.test.after.reliability),
        risk_chart(confidence.risk, answered=confidence.answered),
    )


def reliability_chart(title: str, bins: Sequence[ReliabilityBin]) -> ConfidenceChart:
    """A dot for each of `bins` that has images: mean confidence across, share that is right upwards."""
    x, y = _across(), scale(0, 100, HEIGHT - BOTTOM, TOP)
    most = max(found.count for found in bins)
    dots = [
        Dot(
            x=x(100 * found.confidence),
            y=y(100 * found.accuracy),
            ends=(y(100 * found.interval[1]), y(100 * found.interval[0])),
            radius=max(LARGEST * math.sqrt(found.count / most), SMALLEST),
            name=f"{percent(found.confidence)} sure: {count(found.count)} images, {percent(found.accuracy)} right "
            f"({interval(found.interval)})",
        )
        for found in bins
        if found.confidence is not None and found.accuracy is not None
    ]
    return ConfidenceChart(
        title=title,
        x_title="confidence, %",
        x_ticks=_percents(x),
        y_ticks=_percents(y),
        dashed=joined([(x(0), y(0)), (x(100), y(100))]),
        dots=tuple(dots),
    )


def risk_chart(risk: Sequence[float], *, answered: Answered | None = None) -> ConfidenceChart:
    """The risks at `COVERAGES` as a curve, and on it what a threshold does, if it does anything."""
    highest = max(risk) if answered is None else max(*risk, 1 - answered.interval[0])
    heights = ticks(0, 100 * highest, count=5)
    x, y = _across(), scale(heights[0], heights[-1], HEIGHT - BOTTOM, TOP)
    return ConfidenceChart(
        title="Wrong among the answers given",
        x_title="answers given, surest first, %",
        x_ticks=_percents(x),
        y_ticks=tuple((y(tick), f"{tick:g}") for tick in heights),
        line=joined([(x(100 * coverage), y(100 * share)) for coverage, share in zip(COVERAGES, risk, strict=True)]),
        dots=() if answered is None else (_threshold(answered, x, y),),
    )


def _threshold(answered: Answered, x: Place, y: Place) -> Dot:
    wrong = 1 - answered.accuracy
    return Dot(
        x=x(100 * answered.coverage),
        y=y(100 * wrong),
        ends=(y(100 * (1 - answered.interval[0])), y(100 * (1 - answered.interval[1]))),
        radius=4.0,
        name=f"the threshold: {percent(answered.coverage)} answered, {percent(wrong)} of them wrong",
    )


def _across() -> Place:
    return scale(0, 100, LEFT, WIDTH - EDGE)


def _percents(place: Place) -> tuple[tuple[float, str], ...]:
    return tuple((place(tick), f"{tick}") for tick in range(0, 101, 20))
