"""An ensemble's report with a soup and members that partly know val."""

from typing import Any

import numpy as np

from finegrain.engine.evaluate import Predictions
from finegrain.metrics.classification import ClassificationMetrics, evaluate_predictions
from finegrain.metrics.ensembles import average, diversity, gain
from finegrain.report.ensemble import EnsembleReport
from finegrain.report.ensemble_record import Row

LABELS = np.repeat([0, 1, 2], 20)


def said(member: int) -> np.ndarray:
    """About a third of the answers is wrong, each member's own."""
    scores = np.random.default_rng(member).uniform(size=(60, 3))
    scores[np.arange(60), LABELS] += 0.4
    return scores / scores.sum(axis=1, keepdims=True)


def judged(probabilities: np.ndarray) -> ClassificationMetrics:
    return evaluate_predictions(LABELS, probabilities)


def make_ensemble(size: int = 3, names: tuple[str, ...] = (), **changes: Any) -> EnsembleReport:
    members = np.stack([said(member) for member in range(size)])
    averaged = {how: average(members, how) for how in ("probabilities", "logits")}
    content: dict[str, Any] = {
        "name": "birds <script>",
        "average": "probabilities",
        "class_names": ("wren", "robin", "jay"),
        "members": tuple(
            Row(
                name=names[number] if names else f"run-{number}",
                val=judged(one) if number else None,
                test=judged(one),
            )
            for number, one in enumerate(members)
        ),
        "averages": {how: Row(name=f"average of {how}", val=None, test=judged(one)) for how, one in averaged.items()},
        "soup": Row(name="soup", val=judged(said(0)), test=judged(said(9))),
        "soup_words": "The soup is made of run-0, run-2, in this order.",
        "diversity": diversity(LABELS, members),
        "gain": gain(LABELS, members, averaged["probabilities"]),
        "predictions": Predictions(
            paths=tuple(f"{n}.jpg" for n in range(60)), labels=LABELS, probabilities=averaged["probabilities"]
        ),
        "test_evaluations": 1,
        "recipe_source": "return Recipe(a < b)",
        "environment": {"torch": "2.15.0"},
        "notes": ("The dataset names no groups.",),
    }
    return EnsembleReport(**content | changes)
