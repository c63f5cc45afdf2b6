"""Geometry of the chart of a verdict: differences between arms with their intervals, one below the other."""

from dataclasses import dataclass

from finegrain.metrics.benefit import Pair
from finegrain.report.chart import scale, ticks
from finegrain.report.format import signed
from finegrain.report.verdict_record import VerdictRecord

WIDTH, ROW, TOP, BOTTOM, LEFT, RIGHT = 760, 44, 12, 44, 230, 20
"""In about CSS pixels; the height follows from the number of rows."""
DRAWN: tuple[tuple[Pair, str], ...] = (
    (("synthetic", "real"), "real + generated, against real"),
    (("synthetic", "duplicated"), "… against real + duplicates"),
    (("synthetic", "shuffled"), "… against shuffled labels"),
    (("duplicated", "real"), "real + duplicates, against real"),
    (("shuffled", "real"), "shuffled labels, against real"),
)
"""The pairs and their names; generated images alone lie too far off to be drawn to one scale."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One difference."""

    name: str
    y: float
    dots: tuple[tuple[float, float, str], ...]
    """Coordinates of each seed, with its number."""
    mean_x: float
    ends: tuple[float, float] | None
    """Of the interval."""
    decides: bool
    """Whether the verdict rests on it."""
    reading: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Forest:
    """The chart, ready to be drawn."""

    rows: tuple[Row, ...]
    x_ticks: tuple[tuple[float, str], ...]
    zero: float
    frame: dict[str, int]


def forest(record: VerdictRecord) -> Forest:
    """The differences of `DRAWN` in points, zero always within the chart."""
    chosen = [(pair, name, record.benefit.differences[pair]) for pair, name in DRAWN]
    values = [0.0]
    for pair, _, comparison in chosen:
        values += [*record.paired(*pair), *(comparison.interval or ())]
    places = ticks(100 * min(values), 100 * max(values), count=8)
    x = scale(places[0], places[-1], LEFT, WIDTH - RIGHT)
    rows = []
    for number, (pair, name, comparison) in enumerate(chosen):
        y = TOP + ROW * (number + 0.5)
        seeds = record.paired(*pair)
        ends = comparison.interval
        span = "no interval" if ends is None else " to ".join(map(signed, ends))
        rows.append(
            Row(
                name=name,
                y=y,
                dots=tuple((x(100 * value), y + 11, f"seed {at}: {signed(value)}") for at, value in enumerate(seeds)),
                mean_x=x(100 * comparison.difference),
                ends=None if ends is None else (x(100 * ends[0]), x(100 * ends[1])),
                decides=pair[0] == "synthetic",
                reading=f"{signed(comparison.difference)} ({span})",
            )
        )
    height = TOP + ROW * len(rows) + BOTTOM
    frame = {"width": WIDTH, "height": height, "left": LEFT, "right": WIDTH - RIGHT, "top": TOP}
    x_ticks = tuple((x(tick), f"{tick:+g}" if tick else "0") for tick in places)
    return Forest(rows=tuple(rows), x_ticks=x_ticks, zero=x(0.0), frame=frame | {"bottom": height - BOTTOM})
