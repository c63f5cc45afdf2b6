"""Render the record of an ensemble as one self-contained HTML page, and as a short Markdown page."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finegrain.errors import printable
from finegrain.report.ensemble_record import EnsembleRecord, Row
from finegrain.report.escape import one_line
from finegrain.report.format import percent, points
from finegrain.report.templates import one_line_pairs, render

SIDE = 360
"""Greatest size of a heat map in its own units, about CSS pixels."""
WIDEST = 56
"""No cell is wider."""
MARGIN = 22
"""For the members' numbers, above and at the left."""
MOST_WRITTEN = 12
"""Up to this many members the shares fit into the cells, and every number beside them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HeatMap:
    """A share for every pair of members, ready to be drawn."""

    title: str
    explanation: str
    side: float
    """Size of the whole."""
    step: float
    """Width of a cell."""
    marks: tuple[tuple[float, str], ...]
    """Where a member lies, across as well as down, and its number."""
    cells: tuple[tuple[float, float, float, str, str], ...]
    """Left, top, strength of the colour in [0, 1], what is written, and what it says when pointed at."""


def html(record: EnsembleRecord) -> str:
    """The whole report as one HTML page that asks for nothing from anywhere."""
    return render("ensemble.html.jinja", _content(record))


def summary(record: EnsembleRecord) -> str:
    """The report in short, as Markdown."""
    return render("ensemble.md.jinja", _content(record))


def _content(record: EnsembleRecord) -> dict[str, Any]:
    return {
        "record": record,
        "name": one_line(record.name),
        "chosen": record.chosen.test,
        "members": [(number, one_line(row.name), row) for number, row in enumerate(record.members, start=1)],
        "together": [(one_line(row.name), row) for row in _together(record)],
        "verdict": record.verdict(),
        "why": record.why(),
        "soup_words": one_line(record.soup_words),
        "maps": heat_maps(record),
        "recipe": printable(record.recipe_source),
        "environment": one_line_pairs(record.environment),
        "notes": [one_line(note) for note in record.notes],
    }


def _together(record: EnsembleRecord) -> list[Row]:
    return [*record.averages.values(), *([record.soup] if record.soup else [])]


def heat_maps(record: EnsembleRecord) -> tuple[HeatMap, HeatMap]:
    """How often two members answer differently, and how often both are wrong."""
    shares = record.diversity
    return (
        _heat_map(
            "Answered differently",
            "The more, the more there is to average.",
            shares.disagreement,
            "members {} and {} answer {} of the images differently",
        ),
        _heat_map(
            "Both wrong",
            "Double fault; on the diagonal a member’s own error. What two miss together, their average seldom mends.",
            shares.double_fault,
            "members {} and {} both miss {} of the images",
        ),
    )


def _heat_map(title: str, explanation: str, shares: NDArray[np.float64], words: str) -> HeatMap:
    size = len(shares)
    step = min((SIDE - MARGIN) / size, WIDEST)
    highest = shares.max() or 1.0
    every = -(-size // MOST_WRITTEN)
    return HeatMap(
        title=title,
        explanation=explanation,
        side=MARGIN + size * step,
        step=step,
        marks=tuple((MARGIN + (at + 0.5) * step, str(at + 1)) for at in range(0, size, every)),
        cells=tuple(
            (
                MARGIN + column * step,
                MARGIN + row * step,
                float(share / highest),
                points(share) if size <= MOST_WRITTEN else "",
                words.format(row + 1, column + 1, percent(share)),
            )
            for (row, column), share in np.ndenumerate(shares)
        ),
    )
