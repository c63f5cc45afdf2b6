"""The one path of a run: what it shows of itself beside its result."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import tiny_recipe

from finegrain.commands import carry_out
from finegrain.data.transforms import AugmentConfig
from finegrain.engine.checkpoint import Checkpoints
from finegrain.engine.interrupt import Interrupted
from finegrain.search.tune import Search, tune

COUNT = "test_evaluations.json"


@pytest.fixture
def go(tmp_path: Path):
    root = tiny_recipe.write_images(tmp_path / "images")

    def recipe():
        made = tiny_recipe.config()
        made.data.root = str(root)
        made.augment = AugmentConfig(preset="strong")
        return made

    def go(out: str, *words: str, resume: bool = False) -> Path:
        carry_out(recipe(), words, out=tmp_path / out, resume=resume, dry_run=False)
        return tmp_path / out

    go.recipe = recipe
    return go


def history(run: Path) -> list[dict[str, Any]]:
    with (run / "history.csv").open() as file:
        return list(csv.DictReader(file))


def test_the_curve_of_test_is_looked_at_after_every_epoch_counted_and_told(go) -> None:
    plain, shown = go("plain"), go("shown", "evaluation.test_curve=true")
    rows, metrics = history(shown), json.loads((shown / "metrics.json").read_text())
    assert len(rows) == 3
    assert float(rows[metrics["kept_epoch"]]["test_top1"]) == metrics["test"]["top1"]
    assert float(rows[metrics["kept_epoch"]]["test_loss"]) == pytest.approx(metrics["test"]["loss"], rel=1e-6)
    assert json.loads((shown / COUNT).read_text()) == metrics["test_evaluations"] == 4
    assert any(note.startswith("Test was judged after every epoch, for the curves") for note in metrics["notes"])
    assert "test top-1" in (shown / "report.html").read_text()
    assert (plain / "predictions.csv").read_bytes() == (shown / "predictions.csv").read_bytes()
    assert json.loads((plain / COUNT).read_text()) == 1
    beside = {"test_loss", "test_top1", "seconds"}
    kept = [[{key: row[key] for key in row if key not in beside} for row in told] for told in (rows, history(plain))]
    assert kept[0] == kept[1]


def test_a_curve_may_begin_where_a_run_is_gone_on_with(go, monkeypatch) -> None:
    stop = Checkpoints.stop_if_asked

    def stop_at(self, trainer, *, saved=False):
        if trainer.progress.step == 4 and saved:
            raise Interrupted(15, where="here")
        stop(self, trainer, saved=saved)

    monkeypatch.setattr(Checkpoints, "stop_if_asked", stop_at)
    with pytest.raises(Interrupted):
        go("run")
    monkeypatch.setattr(Checkpoints, "stop_if_asked", stop)
    run = go("run", "evaluation.test_curve=true", resume=True)
    assert [row["test_top1"] != "" for row in history(run)] == [False, True, True]
    assert "after 2 of the 3 epochs" in (run / "report.md").read_text()
    assert json.loads((run / COUNT).read_text()) == 3


def test_no_trial_looks_at_test_whatever_the_recipe_shows(go, tmp_path: Path) -> None:
    recipe = go.recipe()
    recipe.evaluation.test_curve, recipe.train.epochs = True, 1
    tune(recipe, Search(ranges=("optim.lr=1e-3..1e-2",), trials=2, fraction=1.0), tmp_path / "search")
    counts = {path.parent.name: json.loads(path.read_text()) for path in (tmp_path / "search").rglob(COUNT)}
    assert list(counts.values()) == [2]
    assert next(iter(counts)).startswith("best-")


def test_a_new_run_writes_its_layers_as_it_trains_them(go) -> None:
    run = go("run", "train.max_steps=1")
    text = (run / "model.txt").read_text()
    assert text.splitlines()[-1].split()[:3] == ["fc", "DropoutLinear", "3"]
    assert "trained" in text
    assert "BatchNorm" in (run / "report.html").read_text()
    (run / "model.txt").unlink()
    go("run", "evaluate")
    assert 'id="structure"' not in (run / "report.html").read_text()
