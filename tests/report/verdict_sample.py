"""A verdict on planted accuracies."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from finegrain.metrics.benefit import ARMS, Arm, benefit
from finegrain.metrics.statistics import spread
from finegrain.report.verdict import VerdictReport
from finegrain.report.verdict_record import ArmRow, ClassRow

ACCURACY: Mapping[Arm, float] = {
    "real": 0.80, "duplicated": 0.80, "synthetic": 0.84, "shuffled": 0.79, "synthetic only": 0.30,
}  # fmt: skip
CLASSES = ("auk", "bee-eater", "crane", "dunlin")


def make_verdict(accuracy: Mapping[Arm, float] = ACCURACY, *, seeds: int = 5, **changes: Any) -> VerdictReport:
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(4), 150)
    ease = random.random(len(labels))
    hits = {arm: ease + random.normal(0, 0.03, (seeds, len(labels))) < accuracy[arm] for arm in ARMS}
    content: dict[str, Any] = {
        "name": "birds",
        "version": "gen/A",
        "benefit": benefit(hits, labels),
        "fraction": 0.3,
        "candidates": {0.3: 0.81, 0.5: 0.79},
        "arms": tuple(arm_row(arm, hits[arm].mean(axis=1)) for arm in ARMS),
        "classes": tuple(
            class_row(name, number) for number, name in enumerate(("auk", "bee-eater", "crane", "dunlin"))
        ),
        "protocol": ("Heads on frozen features.",),
        "origin": {"version": "ab" * 32, "test split": "cd" * 32},
        "test_evaluations": 1,
        "seconds": {"features": 12.0, "arms": 49.0},
        "environment": {"torch": "2.0"},
        "recipe_source": "def config(): ...",
        "notes": ("The version is small.",),
    }
    return VerdictReport(**content | changes)


def arm_row(arm: Arm, accuracies: np.ndarray) -> ArmRow:
    return ArmRow(
        arm=arm,
        images=1000 if arm == "real" else 1429,
        added=0 if arm == "real" else 429,
        steps=420,
        strength="lr 0.003",
        val_top1=0.8,
        accuracies=tuple(map(float, accuracies)),
        top1=spread(accuracies),
    )


def class_row(name: str, number: int, **changes: Any) -> ClassRow:
    content: dict[str, Any] = {
        "name": name, "n_real": 27 + number, "asked": 200, "kept": 137, "passed": None, "fidelity": 0.25,
        "diversity": 0.91, "copies": 0.01, "duplicates": None, "n_test": 150, "change": -0.0125,
    }  # fmt: skip
    return ClassRow(**content | changes)
