"""Repeated evaluation: the cells, what is in them, and what is computed again."""

import csv
import dataclasses
import json
import re
from pathlib import Path

import pytest
from crossval_files import cells, digest

from finegrain import config
from finegrain.data import splits
from finegrain.engine.checkpoint import read_course
from finegrain.errors import DataError
from finegrain.features import probe
from finegrain.models.config import ModelConfig
from finegrain.models.weights import save_folder
from finegrain.repeated import judges
from finegrain.repeated.cells import Cell, CellFiles
from finegrain.repeated.crossval import Protocol, make_plan
from finegrain.storage import RunDirectory
from tests import tiny_recipe


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


def test_the_evaluation_says_what_it_depends_on(go):
    assert go("head", "out", "folds=2", "seeds=1") == 0
    identity = json.loads(Path("out/evaluation.json").read_text())
    assert {"folds", "seeds", "on", "network", "train split", "data.val_fraction"} <= set(identity)
