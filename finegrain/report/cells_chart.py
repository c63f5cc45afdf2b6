"""Geometry of the charts of many cells: their scores by seed, and the course that is the mean of their courses."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from finegrain.metrics.repeated import Judged
from finegrain.report.chart import BOTTOM, HEIGHT, LEFT, TOP, WIDTH, scale, ticks

EDGE = 8
"""Margin at the right, where this chart has no labels."""
LABEL_ROOM = 26
"""Least distance between two labels below the chart."""
LEAST_FOR_A_BOX = 4
"""Quartiles of fewer cells would say more than is known."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """Cells that stand above each other in the chart."""

    label: str
    names: tuple[str, ...]
    """What each cell is called."""
    scores: tuple[float, ...]
    """In per cent."""

    @property
    def mean(self) -> float:
        """Of the scores."""
        return float(np.mean(self.scores))

    @property
    def quartiles(self) -> tuple[float, float] | None:
        """The box: the middle half of the scores; None for few of them."""
        if len(self.scores) < LEAST_FOR_A_BOX:
            return None
        low, high = np.quantile(self.scores, [0.25, 0.75])
        return float(low), float(high)


@dataclass(frozen=True, kw_only=True, slots=True)
class Strip:
    """One group, ready to be drawn."""

    label: str
    """Empty where there is no room for it."""
    x: float
    half: float
    """Half of the width that the group may take."""
    dots: tuple[tuple[float, float, str], ...]
    """Coordinates of each cell, and its name with its score."""
    mean_y: float
    box: tuple[float, float] | None
    """Upper and lower end of the middle half."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Strips:
    """The whole chart."""

    strips: tuple[Strip, ...]
    y_ticks: tuple[tuple[float, str], ...]
    """Coordinate and label."""


def by_seed(judged: Sequence[Judged], top1: Sequence[float]) -> tuple[Group, ...]:
    """The cells of each seed, where it has several, and all together, where there are several seeds."""
    seeds = dict.fromkeys(cell.seed for cell in judged)
    several_folds = len(judged) > len(seeds)
    fold = ", fold {}" if several_folds else ""
    rows = [
        (cell, f"seed {cell.seed}" + fold.format(cell.fold), 100 * score)
        for cell, score in zip(judged, top1, strict=True)
    ]
    groups = [_group(str(seed), [row for row in rows if row[0].seed == seed]) for seed in seeds]
    everything = [_group("all", rows)] if len(seeds) > 1 or not several_folds else []
    return (*(groups if several_folds else ()), *everything)


def _group(label: str, rows: Sequence[tuple[Judged, str, float]]) -> Group:
    return Group(label=label, names=tuple(row[1] for row in rows), scores=tuple(row[2] for row in rows))


def strips(groups: Sequence[Group]) -> Strips:
    """`groups` side by side, each cell a dot; dots of a group are set apart in their order."""
    scores = [score for group in groups for score in group.scores]
    heights = ticks(min(scores), max(scores), count=6)
    y = scale(heights[0], heights[-1], HEIGHT - BOTTOM, TOP)
    room = (WIDTH - LEFT - EDGE) / len(groups)
    every = math.ceil(LABEL_ROOM / room)
    drawn = []
    for number, group in enumerate(groups):
        x, half = LEFT + (number + 0.5) * room, min(room * 0.36, 40)
        step = 2 * half / len(group.scores)
        places = [x - half + (index + 0.5) * step for index in range(len(group.scores))]
        drawn.append(
            Strip(
                # The last one, all cells together, keeps its label whatever is left out before it.
                label=group.label if number % every == 0 or number == len(groups) - 1 else "",
                x=x,
                half=half,
                dots=tuple(
                    (at, y(score), f"{name}: {score:.1f}\N{NBSP}%")
                    for at, score, name in zip(places, group.scores, group.names, strict=True)
                ),
                mean_y=y(group.mean),
                box=None if group.quartiles is None else (y(group.quartiles[1]), y(group.quartiles[0])),
            )
        )
    return Strips(strips=tuple(drawn), y_ticks=tuple((y(tick), f"{tick:g}") for tick in heights))


def mean_history(histories: Sequence[Sequence[Mapping[str, float]]]) -> list[dict[str, float]]:
    """One row for each epoch of the longest history: the mean of every figure that all of them have, and finite."""
    found: list[dict[str, float]] = []
    for at in range(max(map(len, histories), default=0)):
        rows = [history[at] for history in histories if at < len(history)]
        row = {"epoch": float(rows[0]["epoch"])}
        if len(rows) == len(histories):
            for key in rows[0].keys() - {"epoch"}:
                values = [other.get(key, math.nan) for other in rows]
                row |= {key: float(np.mean(values))} if np.isfinite(values).all() else {}
        found.append(row)
    return found
