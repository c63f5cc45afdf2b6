"""A small run to report on, with any class names."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finegrain.metrics.classification import evaluate_predictions
from finegrain.metrics.confidence import judge_confidence
from finegrain.metrics.mistakes import Mistake, class_extremes, surest_mistakes
from finegrain.report.gallery import thumbnail
from finegrain.report.record import ErrorAnalysis, FeatureMap, Likeness, Parameters, Shown, SplitRecord
from finegrain.report.report import Report


@dataclass(frozen=True, kw_only=True)
class Predicted:
    paths: tuple[str, ...]
    labels: NDArray[np.int64]
    probabilities: NDArray[np.float64]


def predicted(num_classes: int, *, per_class: int = 3, seed: int = 0, paths: Sequence[str] = ()) -> Predicted:
    """Predictions that are mostly right, wrong for some images of every third class."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(num_classes), per_class)
    scores = rng.uniform(size=(len(labels), num_classes))
    scores[np.arange(len(labels)), labels] += 2.0
    wrong = np.arange(0, len(labels), 3 * per_class)
    scores[wrong, (labels[wrong] + 1) % num_classes] += 4.0
    return Predicted(
        paths=tuple(paths) or tuple(f"test/{label}/{i}.jpg" for i, label in enumerate(labels)),
        labels=labels,
        probabilities=scores / scores.sum(axis=1, keepdims=True),
    )


def shown(mistake: Mistake, *, heat: bool = False) -> Shown:
    """A mistake with pictures of one colour, and a neighbour of its own class alone."""
    like = Likeness(path=f"train/{mistake.path}", image=_picture(3), cosine=0.875, among=27)
    return Shown(mistake=mistake, image=_picture(1), like_label=like, heat=_picture(2) if heat else None)


def error_analysis(predictions: Predicted) -> ErrorAnalysis:
    """What a run shows of such predictions."""
    said = predictions.labels, predictions.probabilities
    extremes = class_extremes(*said, each=1, limit=2)
    places = np.random.default_rng(0).normal(size=(len(predictions.labels), 2))
    return ErrorAnalysis(
        mistakes=[shown(mistake, heat=True) for mistake in surest_mistakes(predictions.paths, *said, limit=4)],
        extremes=extremes,
        stamps={row: _picture(row) for ends in extremes for row in (*ends.hardest, *ends.easiest)},
        feature_map=FeatureMap(rows=tuple(range(len(places))), places=places),
    )


def _picture(shade: int) -> bytes:
    return thumbnail(np.full((40, 60, 3), shade % 256, np.uint8))


def history(epochs: int) -> list[dict[str, float]]:
    return [
        {
            "epoch": float(e), "train_loss": 2.0 / (e + 1), "eval_loss": 2.5 / (e + 1),
            "eval_top1": 0.5 + 0.04 * e, "eval_top5": 0.9, "lr": 1e-3 / (e + 1),
        }
        for e in range(epochs)
    ]  # fmt: skip


def make_report(
    class_names: Sequence[str] = ("wren", "robin", "jay"), *, paths: Sequence[str] = (), **fields: Any
) -> Report:
    """A report on such predictions; `fields` replace its own."""
    predictions = predicted(len(class_names), paths=paths)
    metrics = evaluate_predictions(predictions.labels, predictions.probabilities)
    values: dict[str, Any] = {
        "name": "birds",
        "class_names": class_names,
        "test": metrics,
        "val": metrics,
        "confidence": judge_confidence(val=predicted(len(class_names), per_class=20, seed=1), test=predictions),
        "predictions": predictions,
        "test_evaluations": 1,
        "parameters": Parameters(total=11_279_112, trainable=102_600),
        "splits": {name: SplitRecord(count=9, sha256=name[0] * 64) for name in ("train", "val", "test")},
        "history": history(5),
        "kept_epoch": 4,
        "errors": error_analysis(predictions),
        "recipe_source": "def config():\n    return Recipe(a < b)\n",
        "seconds": {"training": 61.0, "evaluation": 0.5},
        "peak_memory_bytes": 1_610_612_736,
        "environment": {"torch": "2.15.0"},
        "dropped": [("train/broken.jpg", "truncated")],
        "notes": ["The dataset names no groups."],
    }
    return Report(**(values | fields))
