"""Geometry of the feature map: from places in the plane to what the page draws and its script reads."""

from dataclasses import dataclass

from finegrain.report.escape import one_line
from finegrain.report.record import Record

MAP_FRAME = {"width": 640, "height": 480}
"""Size in its own units, about CSS pixels."""
_MARGIN = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Map:
    """The map, ready to be drawn; those taken for another class come last, to lie above the others."""

    dots: tuple[tuple[float, float, bool], ...]
    """Coordinates of each image, and whether it was recognised."""
    readings: tuple[tuple[str, int, int, float], ...]
    """Of each image its path, the index of its class and of the class it was given to, and that one's probability."""


def feature_map(record: Record) -> Map | None:
    """The map of `record`, as large as the frame allows, its proportions kept; None where there is none."""
    found = record.errors.feature_map
    if found is None:
        return None
    predictions, rows = record.predictions, list(found.rows)
    labels, said = predictions.labels[rows], predictions.probabilities[rows]
    predicted = said.argmax(axis=1)
    low, high = found.places.min(axis=0), found.places.max(axis=0)
    middle, unit = (low + high) / 2, max(*((high - low) / [_room("width"), _room("height")]), 1e-12)
    drawn = (found.places - middle) / unit + [MAP_FRAME["width"] / 2, MAP_FRAME["height"] / 2]
    order = sorted(range(len(rows)), key=lambda at: predicted[at] != labels[at])
    return Map(
        dots=tuple((float(drawn[at, 0]), float(drawn[at, 1]), bool(predicted[at] == labels[at])) for at in order),
        readings=tuple(
            (
                one_line(predictions.paths[rows[at]]),
                int(labels[at]),
                int(predicted[at]),
                round(float(said[at].max()), 4),
            )
            for at in order
        ),
    )


def _room(side: str) -> int:
    return MAP_FRAME[side] - 2 * _MARGIN
