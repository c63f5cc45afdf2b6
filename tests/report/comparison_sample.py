"""A comparison of settings that were each trained several times."""

from typing import Any

import numpy as np

from finegrain.metrics.comparison import as_family, compare_folds
from finegrain.metrics.statistics import spread
from finegrain.report.comparison import ComparisonReport
from finegrain.report.comparison_record import Setting


def scores(number: int, cells: int = 10) -> np.ndarray:
    """Each setting is two points better than the one before."""
    return 0.8 + 0.02 * number + 0.005 * np.random.default_rng(number).normal(size=cells)


def make_setting(number: int, name: str = "", **changes: Any) -> Setting:
    top1 = scores(number)
    content: dict[str, Any] = {
        "name": name or f"ckpt/a_rather_long_name/crossval-20260101-12000{number}-abcd",
        "top1": spread(top1),
        "interval": (float(top1.mean()) - 0.01, float(top1.mean()) + 0.01),
        "interval_of": "other seeds and images",
        "trainings": tuple((f"seed {at // 5}, fold {at % 5}", float(score)) for at, score in enumerate(top1)),
        "images": 320,
        "macro_f1": spread(top1 - 0.01),
        "auroc": spread(top1 + 0.1),
        "trainable": 102_600 * (number + 1),
        "seconds": 61.5,
        "peak_memory_bytes": 1_610_612_736,
        "images_per_second": 1234.4,
        "protocol": ("Every image is held out once for each seed.", "val chose the epoch."),
    }
    return Setting(**content | changes)


def make_comparison(
    size: int = 3, names: tuple[str, ...] = (), notes: tuple[str, ...] = (), **changes: Any
) -> ComparisonReport:
    """`changes` replace fields of every setting."""
    settings = [make_setting(at, names[at] if names else "", **changes) for at in range(size)]
    compared = [compare_folds(scores(at), scores(0), test_ratio=0.25) for at in range(1, size)]
    return ComparisonReport(settings=tuple(settings), comparisons=as_family(compared), notes=notes)
