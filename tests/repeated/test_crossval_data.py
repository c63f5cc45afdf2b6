"""What a cell knows of the data: nothing of what is held out, and other images are another evaluation."""

import dataclasses
import shutil
from collections.abc import Collection
from pathlib import Path

import numpy as np
import pytest
from crossval_files import digest
from PIL import Image

import main
from finegrain import config
from finegrain.data import splits
from finegrain.data.base import Data
from finegrain.errors import DataError
from finegrain.features import probe
from finegrain.features.views import evaluation_views
from finegrain.repeated.cells import Cell, CellFiles
from finegrain.repeated.crossval import Protocol, make_plan


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


def relabel(paths: Collection[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on the data says that the images at `paths` are of the last class; the folds stay what they were."""
    build, plan = splits.build, make_plan

    def lie(data: Data) -> Data:
        parts = {
            name: tuple(dataclasses.replace(s, label=2) if s.path in paths else s for s in getattr(data, name))
            for name in ("train", "val", "test")
        }
        return dataclasses.replace(data, **parts)

    def plan_of_truth(recipe, protocol, _):
        true = plan(recipe, protocol, build(recipe.data, recipe.data.table()))
        return {cell: lie(data) for cell, data in true.items()}

    monkeypatch.setattr("finegrain.repeated.crossval.make_plan", plan_of_truth)
    monkeypatch.setattr(splits, "build", lambda *words: lie(build(*words)))


def learned(out: str, cell: Cell) -> tuple[bytes, object]:
    """The weights that were kept of a trained cell, and how its epochs went."""
    best = max(Path(out, "runs", str(cell), "checkpoints").glob("best-*"))
    history = CellFiles(Path(out, "cells"), evaluation=digest(out)).load(cell).history
    untimed = [{key: value for key, value in row.items() if key != "seconds"} for row in history]
    return (best / "model.safetensors").read_bytes(), untimed


@pytest.mark.parametrize(
    ("name", "seed", "fold"), [("head", 0, 0), ("head", 0, 1), ("head", 7, 1), ("tiny", 0, 0), ("tiny", 3, 1)]
)
def test_nothing_is_fitted_on_held_out_images(go, fitted, monkeypatch, name: str, seed: int, fold: int):
    """Other pixels and labels in the held-out fold change nothing that was fitted or chosen.

    With tiny that is the probe at the start, the weights of the classes, the network, and the epoch that is kept.
    """
    words = ["folds=2", "seeds=1", f"seed={seed}", "loss.class_weights=balanced", "train.epochs=2"]
    assert go(name, "out", *words) == 0
    recipe = dataclasses.replace(config.load(f"{name}.py"), seed=seed)
    data = splits.build(recipe.data, recipe.data.table())
    here, there = (Cell(seed=seed, fold=number) for number in (fold, 1 - fold))
    held_out = {sample.path for sample in make_plan(recipe, Protocol(folds=2, seeds=1), data)[here].test}
    for path in held_out:
        turn(Path("images", path))
    relabel(lied := sorted(held_out)[::2], monkeypatch)
    assert go(name, "other", *words) == 0
    if name == "head":
        np.testing.assert_array_equal(fitted[fold], fitted[2 + fold])
        assert not np.array_equal(fitted[1 - fold], fitted[3 - fold])
    else:
        assert learned("out", here) == learned("other", here)
        assert learned("out", there)[0] != learned("other", there)[0]
    judged = CellFiles(Path("other/cells"), evaluation=digest("other")).load(here).judged
    assert all(label == 2 for path, label in zip(judged.paths, judged.labels, strict=True) if path in lied)


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


def turn(path: Path) -> None:
    """Other pixels in the same file."""
    Image.fromarray(255 - np.asarray(Image.open(path))).save(path)


def test_other_images_of_the_same_names_are_another_evaluation(go, capsys):
    """Cells of both would be one table; nor can what is said of them be compared."""
    words = ["folds=2", "seeds=1"]
    assert go("head", "out", *words) == 0
    shutil.copytree("images", "moved")
    assert go("head", "out", *words, "data.root=moved") == 0
    turn(Path("moved/train/auk/0.png"))
    capsys.readouterr()
    assert go("head", "out", "folds=2", "seeds=2", "data.root=moved") == 2
    assert "out/evaluation.json is of another run: got one difference" in (said := capsys.readouterr().err)
    assert "train contents: " in said
    assert go("head", "other", *words, "data.root=moved") == 0
    assert main.main(["compare", "out", "other"]) == 2
    assert "got other contents under the same names in 1 of 2 cells" in capsys.readouterr().err
    assert main.main(["compare", "out", "out"]) == 0
    assert "by name alone" not in capsys.readouterr().out


def test_runs_on_other_test_images_are_neither_resumed_nor_compared(go, capsys):
    def train(out: str, *words: str) -> int:
        words = ("train.epochs=1", "schedule.warmup_epochs=0", *words)
        return main.main(["--config", "head.py", "--out", out, *words])

    assert train("a") == 0
    turn(Path("images/train/auk/0.png"))
    assert train("a", "--resume") == 2
    assert "train contents: " in capsys.readouterr().err
    assert train("b") == 0
    assert main.main(["compare", "a", "b"]) == 0  # what is judged is the same
    turn(Path("images/test/auk/0.png"))
    assert main.main(["evaluate", "--config", "head.py", "--out", "b"]) == 2
    assert "test contents: " in capsys.readouterr().err
    assert train("c") == 0
    assert main.main(["compare", "a", "c"]) == 2
    assert "got other contents under the same names in 1 of 1 cells" in capsys.readouterr().err
