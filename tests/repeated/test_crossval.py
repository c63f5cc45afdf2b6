"""Repeated evaluation: the cells, what is in them, and what is computed again."""

import csv
import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import main
from finegrain import config
from finegrain.data import splits
from finegrain.errors import DataError
from finegrain.features import probe
from finegrain.features.views import evaluation_views
from finegrain.repeated import judges
from finegrain.repeated.cells import Cell, CellFiles
from finegrain.repeated.crossval import Protocol, make_plan
from finegrain.repeated.judges import cell_digest
from tests import tiny_recipe

HEAD = ["tuning.probe_first=false", "augment.preset=none", "augment.mixup=0"]


@pytest.fixture
def go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Cross-validate on the tiny images: `go(out, *words)`."""
    tiny_recipe.write_images(tmp_path / "images")
    monkeypatch.chdir(tmp_path)
    source = Path(tiny_recipe.__file__).read_text()
    (tmp_path / "tiny.py").write_text(source)
    head = source.replace("tuning=Full(probe_first=True)", "tuning=Head()").replace(
        "from finegrain.tuning.full import Full", "from finegrain.tuning.head import Head"
    )
    (tmp_path / "head.py").write_text(head.replace('preset="strong", mixup=0.4, mix_probability=0.5', 'preset="none"'))

    def call(name: str, out: str, *words: str) -> int:
        return main.main(["crossval", "--config", f"{name}.py", "--out", out, *words])

    return call


def cells(out: str) -> dict[str, bytes]:
    return {path.name.rpartition("-")[0]: path.read_bytes() for path in Path(out, "cells").glob("*.safetensors")}


def test_every_known_image_is_held_out_once_for_each_seed(go):
    assert go("head", "out", "folds=3", "seeds=2") == 0
    files = CellFiles(Path("out/cells"), evaluation=digest("out"))
    results = [files.load(Cell(seed=seed, fold=fold)) for seed in (0, 1) for fold in range(3)]
    assert all(result is not None for result in results)
    for seed in (0, 1):
        paths = [path for result in results if result.judged.seed == seed for path in result.judged.paths]
        assert len(paths) == len(set(paths)) == 21  # train and val; the official test split stays unseen
        assert not any(path.startswith("test") for path in paths)


def digest(out: str) -> str:
    return cell_digest(json.loads(Path(out, "evaluation.json").read_text()))


def test_features_are_never_compiled(go, monkeypatch):
    """What pays depends on how many are missing and how fast the machine is: a rerun would get other numbers."""
    seen = []
    see = judges.extract
    monkeypatch.setattr(judges, "extract", lambda *a, **kw: seen.append(kw["runtime"].compile) or see(*a, **kw))
    assert go("head", "out", "folds=2", "seeds=1") == 0
    assert seen == ["never"]


def test_what_is_finished_is_not_computed_again(go, monkeypatch, capsys):
    assert go("head", "out", "folds=2", "seeds=2") == 0
    first, table, calls = cells("out"), Path("out/results.csv").read_bytes(), []
    assert len(table.splitlines()) == 5
    choose = probe.choose_head
    monkeypatch.setattr("finegrain.repeated.judges.choose_head", lambda *a: calls.append(1) or choose(*a))
    assert go("head", "out", "folds=2", "seeds=2") == 0
    assert not calls
    damaged, lost = sorted(Path("out/cells").iterdir())[:2]
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"\0")
    lost.unlink()
    assert go("head", "out", "folds=2", "seeds=2") == 0
    assert len(calls) == 2
    again = cells("out")
    assert again.keys() == first.keys()
    assert Path("out/results.csv").read_bytes() == table


def test_more_seeds_go_on_with_the_cells_of_fewer(go, monkeypatch, capsys):
    assert go("head", "whole", "folds=2", "seeds=3") == 0
    assert go("head", "grown", "folds=2", "seeds=2") == 0
    calls, choose = [], probe.choose_head
    monkeypatch.setattr("finegrain.repeated.judges.choose_head", lambda *a: calls.append(1) or choose(*a))
    assert go("head", "grown", "folds=2", "seeds=3") == 0
    assert len(calls) == 2
    table, grown = (rows_without_time(out) for out in ("whole", "grown"))
    assert len(table) == 6
    assert grown == table
    assert go("head", "grown", "folds=3", "seeds=3") == 2
    assert "folds: 2 was saved, 3 is asked for" in capsys.readouterr().err


def rows_without_time(out: str) -> list[dict[str, str]]:
    with Path(out, "results.csv").open(newline="") as file:
        return [{key: value for key, value in row.items() if key != "seconds"} for row in csv.DictReader(file)]


def test_a_trained_cell_keeps_its_best_model(go, capsys):
    assert go("tiny", "out", "folds=2", "seeds=1", "train.epochs=1") == 0
    assert "tiny: top-1" in capsys.readouterr().out
    page = Path("out/report.html").read_text()
    assert "which chose the epoch" in page
    assert go("tiny", "last", "folds=2", "seeds=1", "train.epochs=1", "train.monitor=last") == 0
    assert "which chose nothing, as the last epoch is kept" in Path("last/report.html").read_text()
    assert "own test split was not looked at" in page
    assert len(cells("out")) == 2
    for name in ("seed-0-fold-0", "seed-0-fold-1"):
        assert list(Path("out/runs", name, "checkpoints").glob("best-*"))


def test_on_the_official_test_split_a_seed_is_another_val_split(go):
    assert go("head", "out", "on=test", "seeds=2") == 0
    files = CellFiles(Path("out/cells"), evaluation=digest("out"))
    first, second = (files.load(Cell(seed=seed, fold=0)) for seed in (0, 1))
    assert first.judged.paths == second.judged.paths
    assert all(path.startswith("test") for path in first.judged.paths)
    assert first.hashes["test"] == second.hashes["test"]
    assert first.hashes["val"] != second.hashes["val"]


def test_another_evaluation_in_the_directory_is_refused(go, capsys):
    assert go("head", "out", "folds=2", "seeds=1") == 0
    assert go("head", "out", "folds=2", "seeds=1", "seed=7") == 2
    assert "is of another run" in capsys.readouterr().err
    Path("ran").mkdir()
    Path("ran/config.py").write_text("")
    assert go("head", "ran", "folds=2") == 2
    assert "holds a run already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["folds=1"], "folds: got 1; expected 2 or more"),
        (["folds=8"], "8 folds are too many for class auk: got 7 .* set folds=7"),
        (["fold=3"], "fold"),
        (["seeds=0"], "seeds"),
        (["on=train"], "on"),
    ],
)
def test_what_cannot_be_is_refused(go, capsys, words: list[str], message: str):
    assert go("head", "out", *words) == 2
    shown = capsys.readouterr().err
    assert "Traceback" not in shown
    assert re.search(message, shown)


@pytest.fixture
def fitted(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """The weights of every head, noted as it is fitted."""
    weights: list[np.ndarray] = []
    choose = probe.choose_head

    def note(*arguments):
        found = choose(*arguments)
        weights.append(found.head.weight.numpy().copy())
        return found

    monkeypatch.setattr("finegrain.repeated.judges.choose_head", note)
    return weights


def test_nothing_is_fitted_on_held_out_images(go, fitted):
    """Other pixels in the held-out fold change no fitted number."""
    assert go("head", "out", "folds=2", "seeds=1") == 0
    recipe = config.load("head.py")
    data = splits.build(recipe.data, recipe.data.table())
    plan = make_plan(recipe, Protocol(folds=2, seeds=1), data)
    held_out = plan[Cell(seed=0, fold=0)].test
    for sample in held_out:
        path = Path("images", sample.path)
        Image.fromarray(255 - np.asarray(Image.open(path))).save(path)
    assert go("head", "other", "folds=2", "seeds=1") == 0
    np.testing.assert_array_equal(fitted[0], fitted[2])
    assert not np.array_equal(fitted[1], fitted[3])


def test_a_head_is_fitted_on_plain_images_whatever_is_judged(go, fitted, monkeypatch):
    def said(out: str, views: str) -> np.ndarray:
        assert go("head", out, "folds=2", "seeds=1", f"evaluation.views={views}") == 0
        return CellFiles(Path(out, "cells"), evaluation=digest(out)).load(Cell(seed=0, fold=0)).judged.probabilities

    plain, both, crops = said("plain", "plain"), said("both", "flip"), said("crops", "five_crop")
    monkeypatch.setattr("finegrain.repeated.judges.evaluation_views", lambda *words: evaluation_views(*words)[1:])
    mirrored = said("mirrored", "flip")
    for weight in fitted[2::2]:
        np.testing.assert_array_equal(weight, fitted[0])
    np.testing.assert_allclose(both, (plain + mirrored) / 2, atol=1e-6)
    assert not np.allclose(plain, mirrored, atol=1e-4)
    assert not np.allclose(plain, crops, atol=1e-4)


def test_a_plan_depends_on_the_seed_and_keeps_the_splits_apart(go):
    recipe = config.load("head.py")
    data = splits.build(recipe.data, recipe.data.table())
    plan = make_plan(recipe, Protocol(folds=3, seeds=2), data)
    assert list(plan) == [Cell(seed=seed, fold=fold) for seed in (0, 1) for fold in range(3)]
    for cell in plan.values():
        parts = [{s.path for s in part} for part in (cell.train, cell.val, cell.test)]
        assert len(set.union(*parts)) == sum(map(len, parts)) == 21
    again = make_plan(dataclasses.replace(recipe, seed=1), Protocol(folds=3, seeds=1), data)
    assert [cell.hashes() for cell in again.values()] == [cell.hashes() for key, cell in plan.items() if key.seed == 1]
    with pytest.raises(DataError, match="too many"):
        make_plan(recipe, Protocol(folds=9), data)


def test_the_evaluation_says_what_it_depends_on(go):
    assert go("head", "out", "folds=2", "seeds=1") == 0
    identity = json.loads(Path("out/evaluation.json").read_text())
    assert {"folds", "seeds", "on", "network", "train split", "data.val_fraction"} <= set(identity)
