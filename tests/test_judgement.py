"""What a run says of its best model, put together from val and test."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import tiny_recipe

from finegrain.commands import carry_out
from finegrain.judgement import CountedFeed, count_test_evaluation
from finegrain.metrics.calibration import brier, ece
from finegrain.metrics.selection import set_quality
from finegrain.storage import RunDirectory


def test_confidence_is_fitted_on_val_and_judged_on_test(tmp_path: Path) -> None:
    recipe = tiny_recipe.config()
    recipe.data.root = str(tiny_recipe.write_images(tmp_path / "images"))
    carry_out(recipe, [], out=tmp_path / "run", resume=False, dry_run=False)
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    with (tmp_path / "run" / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    names = tiny_recipe.CLASSES
    labels = np.array([names.index(row["label"]) for row in rows])
    ranked = [{row[f"class_{rank}"]: float(row[f"probability_{rank}"]) for rank in (1, 2, 3)} for row in rows]
    probabilities = np.array([[row[name] for name in names] for row in ranked])
    assert (metrics["checkpoint"], metrics["views"]) == (
        max((tmp_path / "run").glob("checkpoints/best-*")).name,
        "plain",
    )
    found = metrics["calibration"]
    assert found["val_images"] == 6
    assert found["val"]["before"]["loss"] == metrics["val"]["loss"]
    assert found["test"]["before"]["loss"] == metrics["test"]["loss"]
    assert found["test"]["before"]["ece"] == pytest.approx(ece(labels, probabilities), abs=1e-5)
    assert found["test"]["before"]["brier"] == pytest.approx(brier(labels, probabilities), abs=1e-5)
    assert found["val"]["after"]["loss"] <= found["val"]["before"]["loss"]
    assert found["risk"][-1] == pytest.approx(1 - metrics["test"]["top1"])
    assert found["threshold"] is None  # six images promise nothing
    assert found["sets"]["limit"] is None
    assert found["set_quality"]["mean_size"] == set_quality(labels, np.ones((3, 3), dtype=bool)).mean_size
    assert "too small to promise" in (tmp_path / "run" / "report.md").read_text()


class Broken:
    """A feed whose images cannot be read."""

    samples, batch_size = (), 1

    def epoch(self, epoch: int, start_step: int = 0) -> None:
        raise OSError

    def __len__(self) -> int:
        return 3


def test_a_look_is_counted_before_it_is_taken(tmp_path: Path) -> None:
    with RunDirectory(tmp_path / "run", resume=False) as directory:
        feed = CountedFeed(Broken(), directory=directory)
        assert (len(feed), feed.samples, feed.batch_size) == (3, (), 1)
        for _ in range(2):
            with pytest.raises(OSError):
                feed.epoch(0)
        assert count_test_evaluation(directory) == 3
