"""A learning curve's report on answers that follow a power law."""

from typing import Any

import numpy as np

from finegrain.metrics.crossed import crossed_interval
from finegrain.metrics.power_law import PowerLaw, fit_over_seeds
from finegrain.metrics.repeated import Judged, hit_matrix
from finegrain.metrics.statistics import spread
from finegrain.report.learning_curve import LearningCurveReport
from finegrain.report.learning_curve_record import Point

LAW = PowerLaw(a=0.9, b=0.5, c=0.8)
IMAGES = 200


def judged(trained: int, seed: int) -> Judged:
    labels = np.arange(IMAGES) % 2
    hits = np.random.default_rng(seed).permutation(IMAGES) < IMAGES * LAW.at([trained])[0] + seed
    right = np.where(hits, labels, 1 - labels)
    return Judged(
        seed=seed,
        fold=0,
        trained_images=2 * trained,
        paths=tuple(f"{n}.jpg" for n in range(IMAGES)),
        labels=labels,
        probabilities=np.eye(2)[right] * 0.8 + 0.1,
    )


def point(count: int, seeds: int) -> Point:
    cells = tuple(judged(count - 1, seed) for seed in range(seeds))
    hits, labels = hit_matrix(cells)
    interval = crossed_interval(hits, labels)
    return Point(
        per_class=count,
        trained=count - 1,
        images=IMAGES,
        judged=cells,
        hashes=tuple({split: f"{split[0]}{seed}" * 32 for split in ("train", "val", "test")} for seed in range(seeds)),
        spread=spread(np.array([cell.hits.mean() for cell in cells])),
        by_seed=tuple(hits.mean(axis=1).tolist()),
        interval=interval,
        of_training=interval is not None,
    )


def make_curve(counts: tuple[int, ...] = (2, 4, 8, 16), seeds: int = 3, **changes: Any) -> LearningCurveReport:
    points = tuple(point(count, seeds) for count in counts)
    content: dict[str, Any] = {
        "name": "birds <script>",
        "class_names": ("wren", "robin"),
        "points": points,
        "fit": fit_over_seeds([p.trained for p in points], np.array([p.by_seed for p in points]).T),
        "protocol": ("Smaller numbers lie within larger ones.",),
        "recipe_source": "return Recipe(a < b)",
        "environment": {"torch": "2.15.0"},
        "notes": ("The dataset names no groups.",),
    }
    return LearningCurveReport(**content | changes)
