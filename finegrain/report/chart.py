"""Geometry of the line charts: from the rows of a history to the coordinates that the page and the figures draw."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from matplotlib.ticker import MaxNLocator

from finegrain.report.format import MISSING

WIDTH, HEIGHT = 372, 236
"""Size of a chart in its own units, about CSS pixels."""
LEFT, RIGHT, TOP, BOTTOM = 46, 78, 14, 38
"""Margins: y labels, direct labels of the lines, and x labels with the axis title."""
LABEL_GAP = 15
"""Least distance between the direct labels of two lines."""
FRAME = {
    "width": WIDTH, "height": HEIGHT, "left": LEFT, "right": WIDTH - RIGHT, "top": TOP, "bottom": HEIGHT - BOTTOM,
}  # fmt: skip
"""The same for the templates: the whole, and the sides of what lies within the margins."""

Row = Mapping[str, float]
Points = tuple[tuple[float, float] | None, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Axis:
    """What one chart shows: its title, unit, and the history's columns with their names."""

    title: str
    unit: str
    columns: Mapping[str, str]
    """History key → name of the line."""
    scale: float = 1.0
    """Multiplies the values, e.g. 100 for per cent."""
    from_zero: bool = False


_LOSSES = {"train_loss": "train", "eval_loss": "validation", "test_loss": "test"}
_ACCURACIES = {
    "train_top1": "train top-1", "eval_top1": "val. top-1", "test_top1": "test top-1", "eval_top5": "val. top-5",
}  # fmt: skip
AXES = (
    Axis(title="Loss", unit="nats", columns=_LOSSES, from_zero=True),
    Axis(title="Accuracy", unit="%", columns=_ACCURACIES, scale=100),
    Axis(title="Learning rate", unit="", columns={"lr": "rate"}, from_zero=True),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One line of a chart."""

    name: str
    number: int
    """Its place among the columns of the axis, from 1, whether or not the others are drawn; gives its colour."""
    values: tuple[float | None, ...]
    """One value an epoch; None where it is missing or not finite."""
    points: Points
    """Coordinates of the values."""
    label_y: float
    """Height of the direct label at the line's right end."""

    @property
    def path(self) -> str:
        """The line as an SVG path, interrupted where a value is missing."""
        return joined(self.points)


@dataclass(frozen=True, kw_only=True, slots=True)
class Chart:
    """One chart, ready to be drawn."""

    title: str
    unit: str
    x: tuple[float, ...]
    """Coordinate of each epoch."""
    lines: tuple[Line, ...]
    x_ticks: tuple[tuple[float, str], ...]
    """Coordinate and label."""
    y_ticks: tuple[tuple[float, str], ...]
    best_x: float | None
    """Coordinate of the epoch whose weights were kept."""
    faint: tuple[tuple[int, str], ...] = ()
    """SVG paths to be drawn behind the lines, each with the number of the line, from 1, that it belongs to."""


def charts(
    history: Sequence[Row], *, kept_epoch: int | None = None, behind: Sequence[Sequence[Row]] = ()
) -> tuple[Chart, ...]:
    """The charts of loss, accuracy and learning rate; one that has no finite value is left out.

    Args:
        history: One row an epoch.
        kept_epoch: Epoch to be marked.
        behind: Further histories, drawn faintly; none goes beyond the epochs of `history`.
    """
    built = (_chart(axis, history, kept_epoch, behind) for axis in AXES)
    return tuple(chart for chart in built if chart is not None)


def _chart(axis: Axis, history: Sequence[Row], kept_epoch: int | None, behind: Sequence[Sequence[Row]]) -> Chart | None:
    columns = {key: _column(history, key, axis.scale) for key in axis.columns}
    columns = {key: values for key, values in columns.items() if any(value is not None for value in values)}
    if not columns:
        return None
    epochs = _epochs(history)
    numbers = {key: number for number, key in enumerate(axis.columns, 1) if key in columns}
    others = [
        (number, _epochs(rows), _column(rows, key, axis.scale)) for key, number in numbers.items() for rows in behind
    ]
    everything = (*columns.values(), *(values for _, _, values in others))
    finite = [value for values in everything for value in values if value is not None]
    y_ticks = ticks(0.0 if axis.from_zero else min(finite), max(finite), count=5)
    x_ticks = ticks(epochs[0], epochs[-1], count=6, integer=True)
    x = scale(epochs[0], epochs[-1], LEFT, WIDTH - RIGHT)
    y = scale(y_ticks[0], y_ticks[-1], HEIGHT - BOTTOM, TOP)

    def place(at: Sequence[float], values: Sequence[float | None]) -> Points:
        return tuple(None if v is None else (x(e), y(v)) for e, v in zip(at, values, strict=True))

    points = {key: place(epochs, values) for key, values in columns.items()}
    ends = [[p for p in line if p is not None][-1][1] for line in points.values()]
    lines = tuple(
        Line(name=axis.columns[key], number=numbers[key], values=columns[key], points=points[key], label_y=label_y)
        for key, label_y in zip(points, spread(ends, lowest=HEIGHT - BOTTOM), strict=True)
    )
    return Chart(
        title=axis.title,
        unit=axis.unit,
        x=tuple(x(epoch) for epoch in epochs),
        lines=lines,
        x_ticks=tuple((x(tick), f"{tick:g}") for tick in x_ticks if epochs[0] <= tick <= epochs[-1]),
        y_ticks=tuple((y(tick), f"{tick:g}") for tick in y_ticks),
        best_x=None if kept_epoch is None or not epochs[0] <= kept_epoch <= epochs[-1] else x(kept_epoch),
        faint=tuple((number, joined(place(at, values))) for number, at, values in others),
    )


def joined(points: Sequence[tuple[float, float] | None]) -> str:
    """The points joined as an SVG path, interrupted where one is missing."""
    words, pen_down = [], False
    for point in points:
        if point is not None:
            words.append(f"{'L' if pen_down else 'M'}{point[0]:.1f} {point[1]:.1f}")
        pen_down = point is not None
    return "".join(words)


def spread(heights: Sequence[float], *, lowest: float = math.inf) -> list[float]:
    """`heights` moved just enough that no two labels overlap: down, or up from those that would go below `lowest`."""
    placed, order = list(heights), sorted(range(len(heights)), key=heights.__getitem__)
    for above, index in pairwise(order):
        placed[index] = max(placed[index], placed[above] + LABEL_GAP)
    for index in reversed(order):
        placed[index] = min(placed[index], lowest)
        lowest = placed[index] - LABEL_GAP
    return placed


def readings(chart: Chart, epochs: Sequence[float]) -> list[str]:
    """What the page shows of a chart when an epoch is pointed at."""
    columns = zip(*(line.values for line in chart.lines), strict=True)
    rows = ([f"{line.name} {_short(value)}" for line, value in zip(chart.lines, row, strict=True)] for row in columns)
    return [f"epoch {epoch:g}: {', '.join(row)}" for epoch, row in zip(epochs, rows, strict=True)]


def _short(value: float | None) -> str:
    return MISSING if value is None else f"{value:.4g}"


def _epochs(history: Sequence[Row]) -> list[float]:
    return [float(row["epoch"]) for row in history]


def _column(history: Sequence[Row], key: str, scale: float) -> tuple[float | None, ...]:
    values = (row.get(key) for row in history)
    return tuple(None if value is None or not math.isfinite(value) else value * scale for value in values)


def ticks(low: float, high: float, *, count: int, integer: bool = False) -> list[float]:
    """About `count` round numbers, the first not above `low` and the last not below `high`."""
    if low == high:  # one epoch, or a constant: a line needs a range to lie in
        low, high = (low, low + 1) if integer else (min(0.0, low), high or 1.0)
    locator = MaxNLocator(nbins=count, steps=[1, 2, 2.5, 5, 10], integer=integer)
    return [float(tick) for tick in locator.tick_values(low, high)]


def scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    """The map that sends `low` to `start` and `high` to `end`."""
    span = (high - low) or 1.0
    return lambda value: start + (value - low) / span * (end - start)
