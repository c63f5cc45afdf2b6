"""Repeated evaluation: the cells, what is in them, and what is computed again."""

import csv
import dataclasses
import json
import re
import shutil
from collections.abc import Callable, Collection
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import main
from finegrain import config
from finegrain.data import splits
from finegrain.data.base import Data
from finegrain.engine.checkpoint import read_course
from finegrain.errors import DataError
from finegrain.features import probe
from finegrain.features.views import evaluation_views
from finegrain.models.config import ModelConfig
from finegrain.models.weights import save_folder
from finegrain.repeated import judges
from finegrain.repeated.cells import Cell, CellFiles
from finegrain.repeated.crossval import Protocol, make_plan
from finegrain.repeated.judges import cell_digest
from finegrain.storage import RunDirectory
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


def test_a_wrong_label_is_suspected(go):
    """An auk is listed under crane; pixels say its class, and so do features of the pretrained network."""
    images = Path("images/train")
    (images / "auk/0.png").rename(images / "crane/wrong.png")
    network = ModelConfig(name="timm/test_resnet", image_size=32).build(num_classes=3)
    save_folder(network, Path("weights"), class_names=tiny_recipe.CLASSES)
    assert go("head", "out", "folds=3", "seeds=2", "model.weights=weights", "model.name=") == 0
    with Path("out/suspects.csv").open() as file:
        first, *_ = csv.DictReader(file)
    assert (first["path"], first["label"], first["suggested"]) == ("train/crane/wrong.png", "crane", "auk")
    page = Path("out/report.html").read_text()
    assert "train/crane/wrong.png" in page
    assert "Most similar image of auk" in page
    assert not Path("out/features").exists()


def test_networks_that_begin_at_random_see_no_likeness(go):
    images = Path("images/train")
    (images / "auk/0.png").rename(images / "crane/wrong.png")
    assert go("head", "out", "folds=3", "seeds=1") == 0
    page = Path("out/report.html").read_text()
    assert "images are <em>suspected</em>" in page
    assert "Most similar image of" not in page
    assert "the features that training starts from" not in page


def digest(out: str) -> str:
    return cell_digest(json.loads(Path(out, "evaluation.json").read_text()))


def test_features_are_never_compiled(go, monkeypatch):
    """What pays depends on how many are missing and how fast the machine is: a rerun would get other numbers."""
    seen = []
    see = judges.extract
    monkeypatch.setattr(judges, "extract", lambda *a, **kw: seen.append(kw["runtime"].compile) or see(*a, **kw))
    assert go("head", "out", "folds=2", "seeds=1") == 0
    assert seen == ["never"]


def test_a_damaged_cell_is_named_until_there_is_a_sound_one(go, caplog):
    assert go("head", "out", "folds=2", "seeds=1") == 0
    (damaged, _) = sorted(Path("out/cells").iterdir())
    damaged.write_bytes(damaged.read_bytes()[:300])
    for _ in range(2):
        assert go("head", "out", "folds=2", "seeds=1") == 0
        assert caplog.text.count(f"damaged is {damaged.name}") == 1


def test_heads_say_which_settings_have_no_part(go, caplog):
    caplog.set_level("INFO")
    assert go("head", "out", "folds=2", "seeds=1") == 0
    assert "the recipe's loss, optim, schedule, train have no part in it" in caplog.text


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
    table, grown = (Path(out, "results.csv").read_bytes() for out in ("whole", "grown"))
    assert len(rows("whole")) == 6
    assert grown == table
    assert go("head", "grown", "folds=3", "seeds=3") == 2
    assert "folds: 2 was saved, 3 is asked for" in capsys.readouterr().err


def rows(out: str) -> list[dict[str, str]]:
    with Path(out, "results.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_seeds_count_on_from_one_that_was_drawn(go, capsys, monkeypatch):
    draws = iter((557782653, 536376798))
    monkeypatch.setattr("finegrain.commands.secrets.randbelow", lambda most: next(draws))
    assert go("head", "out", "folds=2", "seeds=2", "seed=random") == 0
    seed = json.loads(Path("out/evaluation.json").read_text())["seed"]
    assert [int(row["seed"]) for row in rows("out")] == [seed, seed, seed + 1, seed + 1]
    table = Path("out/results.csv").read_bytes()
    assert go("head", "again", "folds=2", "seeds=2", f"seed={seed}") == 0
    assert Path("again/results.csv").read_bytes() == table
    assert go("head", "out", "folds=2", "seeds=2", "seed=random") == 2
    assert f"seed: {seed} was saved" in capsys.readouterr().err


def test_the_table_grows_with_every_cell_and_loses_none(go, monkeypatch):
    choose, seen = probe.choose_head, []

    def stop_at_the_fourth(*arguments):
        seen.append(len(rows("out")))
        if len(seen) == 4:
            raise KeyboardInterrupt
        return choose(*arguments)

    monkeypatch.setattr("finegrain.repeated.judges.choose_head", stop_at_the_fourth)
    assert go("head", "out", "folds=2", "seeds=3") == 130
    assert seen == [0, 1, 2, 3]
    assert go("head", "out", "folds=2", "seeds=3") == 0
    assert seen[4:] == [3, 4, 5]
    table = Path("out/results.csv").read_bytes()
    assert go("head", "whole", "folds=2", "seeds=3") == 0
    assert Path("whole/results.csv").read_bytes() == table
    assert go("head", "out", "folds=2", "seeds=1") == 0
    assert Path("out/results.csv").read_bytes() == table
    assert len(json.loads(Path("out/metrics.json").read_text())["cells"]) == 2


def test_costs_are_of_all_processes_that_worked_on_a_cell(go, monkeypatch):
    """The first is stopped when the first cell is trained, but not judged yet."""
    words = ["folds=2", "seeds=1", "train.epochs=1", "schedule.warmup_epochs=0"]

    def stop(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("finegrain.repeated.judges.predict", stop)
        assert go("tiny", "out", *words) == 130
    with RunDirectory(Path("out/runs/seed-0-fold-0"), resume=True) as run:
        course = read_course(run)
    monkeypatch.setattr("finegrain.repeated.judges.time.monotonic", lambda: 0.0)  # as if nothing took time now
    monkeypatch.setattr("finegrain.runtime.Runtime.peak_memory_bytes", lambda _: 10**15)
    assert go("tiny", "out", *words) == 0
    files = CellFiles(Path("out/cells"), evaluation=digest("out"))
    assert files.load(Cell(seed=0, fold=0)).seconds == course.seconds > 0
    assert files.load(Cell(seed=0, fold=1)).seconds == 0
    monkeypatch.setattr("finegrain.runtime.Runtime.peak_memory_bytes", lambda _: 1)
    assert go("tiny", "out", *words) == 0
    assert json.loads(Path("out/metrics.json").read_text())["peak_memory_bytes"] == 10**15


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


def test_a_damaged_evaluation_is_not_gone_on_with(go, capsys):
    assert go("head", "out", "folds=2", "seeds=1") == 0
    Path("out/evaluation.json").write_bytes(b'{"folds": 2')
    assert go("head", "out", "folds=2", "seeds=1") == 2
    assert "out/evaluation.json is damaged" in capsys.readouterr().err
    assert len(cells("out")) == 2


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


def test_cells_without_a_val_split_are_refused_before_anything_is_fitted(go, capsys):
    for path in [*Path("images/train").glob("*/[1-9].png"), *Path("images/val").glob("*/[1-9].png")]:
        path.unlink()
    assert go("head", "out", "folds=2", "seeds=2") == 2
    shown = capsys.readouterr().err
    assert "got an empty val split in 4 of 4 cells, first in seed-0-fold-0" in shown
    assert "try other folds than 2, a larger data.val_fraction than 0.1, or add images" in shown
    assert not Path("out/cells").exists()
    recipe = config.load("head.py")
    data = splits.build(recipe.data, recipe.data.table())
    lumped = [tuple(dataclasses.replace(s, group=str(s.label)) for s in part) for part in (data.train, data.val)]
    data = dataclasses.replace(data, train=lumped[0], val=lumped[1])
    with pytest.raises(DataError, match=r"in 1 of 1 cells.*; try a larger data.val_fraction"):
        make_plan(recipe, Protocol(on="test", seeds=1), data)


def test_it_says_whose_test_split_it_judges_on(go):
    words = ["on=test", "seeds=1", "folds=1"]
    assert go("head", "own", *words) == 0
    assert "the dataset&#39;s own test split (3 images)" in Path("own/report.html").read_text()
    assert go("head", "carved", *words, "data.root=images/train", "data.split_seed=4") == 0
    page = Path("carved/report.html").read_text()
    assert "one test split, carved out of the dataset with seed 4 (3 images)" in page
    assert "own test split" not in page


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


def test_the_evaluation_says_what_it_depends_on(go):
    assert go("head", "out", "folds=2", "seeds=1") == 0
    identity = json.loads(Path("out/evaluation.json").read_text())
    assert {"folds", "seeds", "on", "network", "train split", "data.val_fraction"} <= set(identity)


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
