import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from parsed_page import Page
from PIL import Image

from finegrain.metrics.feature_sets import Extractor
from finegrain.metrics.kernel_distance import Floor, KernelDistance
from finegrain.report.gan import GanReport

DISTANCE = KernelDistance(
    value=0.02,
    interval=(0.01, 0.03),
    p=0.004,
    floor=Floor(n=50, mean=0.0, high=0.005),
    extractor=Extractor(name="pixels", sha256="ab" * 32),
    features=64,
    n_real=100,
    n_fake=200,
)


def picture() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(buffer, format="PNG")
    return buffer.getvalue()


def report(*distances: float, kept: int, **changes: Any) -> GanReport:
    rows = [
        {"step": 10.0 * number, "d_real": 1.0, "d_fake": -1.0, "kernel_distance": value, "diversity": 0.9}
        for number, value in enumerate(distances, start=1)
    ]
    settings: dict[str, Any] = {
        "name": "birds", "class_names": ("jay", "<b>wren</b>"), "history": rows, "kept_step": kept,
        "distance": DISTANCE, "generated": picture(), "real": picture(), "walks": picture(),
        "across": picture(), "counts": {"train": 9}, "notes": ("A note.",),
        "identity": {"train split": "cd" * 32}, "seconds": {"training": 61.0}, "peak_memory_bytes": 1,
        "environment": {"torch": "2"}, "recipe_source": "def config(): ...",
    }  # fmt: skip
    return GanReport(**{**settings, **changes})


@pytest.mark.parametrize(
    ("distances", "kept", "outcome"),
    [
        ((0.03, 0.02), 20, "The last of 20 steps was the best evaluated: more steps may still help."),
        ((0.02, 0.03), 10, "No longer better at step 20, using step 10."),
        (
            (0.03, 0.02, 0.09),
            20,
            "Collapsed at step 30 (4.5 times the distance), using step 20. After so few steps this may be too little "
            "training, no collapse.",
        ),
        (
            (0.02, 0.03, 0.09),
            10,
            "Left off at step 30, 4.5 times as far from val as at step 10, which is used: the first that was "
            "evaluated, so too little was learned to speak of a collapse.",
        ),
    ],
)
def test_the_outcome_says_which_step_is_used_and_why(distances: tuple[float, ...], kept: int, outcome: str) -> None:
    assert report(*distances, kept=kept).outcome() == outcome


def test_after_many_steps_a_collapse_is_one() -> None:
    late = report(0.03, 0.02, 0.09, kept=200)
    late = replace(late, history=[row | {"step": 10 * row["step"]} for row in late.history])
    assert late.outcome().endswith("using step 200. After so few steps this may be too little training, no collapse.")
    late = replace(late, history=[row | {"step": 10 * row["step"]} for row in late.history], kept_step=2000)
    assert late.outcome() == "Collapsed at step 3,000 (4.5 times the distance), using step 2,000."


def test_at_the_floor_twice_the_distance_is_no_collapse() -> None:
    near = KernelDistance(**{name: getattr(DISTANCE, name) for name in KernelDistance.__slots__} | {"value": 0.001})
    assert "No longer better" in report(0.002, 0.001, 0.004, kept=20, distance=near).outcome()
    assert "Collapsed" in report(0.002, 0.001, 0.006, kept=20, distance=near).outcome()


def test_the_headline_names_extractor_numbers_and_floor() -> None:
    line = report(0.02, kept=10).headline()
    assert line.startswith(
        "birds: kernel distance to val 0.02 (0.01 to 0.03), floor 0.005, n = 200 generated and 100 real, "
    )
    assert "by pixels" in line


def test_every_file_is_written_and_the_page_holds_it_all(tmp_path: Path) -> None:
    page = report(0.03, 0.02, kept=20).write(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        "metrics.json", "history.csv", "curves.png", "generated.png", "report.html",
    }  # fmt: skip
    text = page.read_text(encoding="utf-8")
    assert sum(tag == "img" for tag, _ in Page(text).tags) == 5
    assert "&lt;b&gt;wren" in text
    assert "<b>wren" not in text
    for shown in (" (0.01 to 0.03)", "abababababab", "A note.", "further than that", "cdcdcdcdcdcdcdcd"):
        assert shown in text, shown
    content = json.loads((tmp_path / "metrics.json").read_text())
    assert content["kernel_distance"]["extractor"] == {"name": "pixels", "sha256": "ab" * 32}
    assert content["kernel_distance"]["above_floor"] is True
    assert content["identity"] == {"train split": "cd" * 32}
