"""The command `compare`: which evaluations can be compared, and what is said of them."""

import json
from pathlib import Path

import numpy as np
import pytest
import tiny_recipe
from parsed_page import Page

import main
from finegrain import config
from finegrain.errors import CheckpointError, ConfigError, DataError
from finegrain.metrics.repeated import Judged
from finegrain.repeated.cells import Cell, CellFiles, CellResult
from finegrain.repeated.compare import _compare, compare, read
from finegrain.repeated.judges import cell_digest

NAMES = ["auk", "bee"]
IMAGES = 60


def write_evaluation(
    path: Path,
    *,
    right: float,
    on: str = "folds",
    seeds: int = 3,
    start: int = 0,
    images: int = IMAGES,
    trained: float = 1.0,
):
    """An evaluation of two folds in which a share of the images is right, drawn."""
    path.mkdir()
    identity = {"folds": 2, "seeds": seeds, "on": on, "seed": start, "class_names": NAMES}
    (path / "evaluation.json").write_text(json.dumps(identity))
    files = CellFiles(path / "cells", evaluation=cell_digest(identity))
    random = np.random.default_rng(int(1000 * right))
    for seed in range(start, start + seeds):
        order = np.random.default_rng(seed).permutation(images)
        for fold, numbers in enumerate([order[::2], order[1::2]] if on == "folds" else [np.arange(images)]):
            labels = numbers % 2
            hits = random.random(len(numbers)) < right
            probabilities = np.full((len(numbers), 2), 0.1)
            probabilities[np.arange(len(numbers)), np.where(hits, labels, 1 - labels)] = 0.9
            judged = Judged(
                seed=seed,
                fold=fold,
                trained_images=round(trained * len(numbers)),
                paths=tuple(f"{n}.jpg" for n in numbers),
                labels=labels,
                probabilities=probabilities,
            )
            files.save(Cell(seed=seed, fold=fold), CellResult(judged=judged, seconds=1.0, hashes={}))
    return path


def write_run(path: Path, *, right: int, images: int = IMAGES) -> Path:
    path.mkdir()
    rows = ["path,label,class_1,probability_1,class_2,probability_2"]
    for number in range(images):
        label, other = NAMES[number % 2], NAMES[1 - number % 2]
        rows.append(f"{number}.jpg,{label},{label if number < right else other},0.9,x,0.1")
    (path / "predictions.csv").write_text("\n".join(rows) + "\n")
    return path


@pytest.mark.parametrize("on", ["folds", "test"])
def test_a_clear_difference_is_found_and_none_is_made_up(tmp_path: Path, on: str):
    weak = write_evaluation(tmp_path / "weak", right=0.55, on=on)
    good = write_evaluation(tmp_path / "good", right=0.97, on=on)
    shown = compare([weak, good])
    assert "better: +" in shown
    assert "points would have been shown 4 times in 5" in shown
    assert "worse: -" in compare([good, weak])
    assert "no evidence: +0.00" in compare([weak, weak])


def test_single_runs_on_the_same_images(tmp_path: Path):
    first, other = write_run(tmp_path / "a", right=30), write_run(tmp_path / "b", right=55)
    shown = compare([first, other])
    assert "top-1 50.0" in shown
    assert "better: +41.67 points" in shown
    assert "McNemar" in shown


def test_a_family_is_adjusted(tmp_path: Path):
    runs = [write_run(tmp_path / name, right=right) for name, right in (("a", 40), ("b", 46), ("c", 47))]
    alone, together = compare(runs[:2]), compare(runs)
    assert "Holm" not in alone
    assert together.count("(Holm, 2 comparisons)") == 2
    assert "strictest step" not in alone
    assert together.count("4 times in 5, by Holm's strictest step (p ≤ 0.05/2)") == 2


def test_the_order_turns_the_sign_and_nothing_else(tmp_path: Path):
    """One of them trained on fewer images of the same folds, having held more out to choose by."""
    first = write_evaluation(tmp_path / "a", right=0.7)
    other = write_evaluation(tmp_path / "b", right=0.8, trained=0.5)
    one, turned = read(first), read(other)
    there, back = _compare(turned, one), _compare(one, turned)
    assert there.difference == -back.difference
    assert (there.p, there.smallest) == (back.p, back.smallest)
    alike = read(write_evaluation(tmp_path / "c", right=0.8))
    assert there.p > _compare(alike, one).p  # by the larger of the two ratios


def test_it_says_where_images_are_known_by_name_alone(tmp_path: Path):
    first, other = write_run(tmp_path / "a", right=30), write_run(tmp_path / "b", right=55)
    assert f"not by content: the images of {first}, {other}." in compare([first, other])


def test_unlike_things_are_not_compared(tmp_path: Path):
    folds = write_evaluation(tmp_path / "folds", right=0.9)
    others = {
        "kinds folds and test": write_evaluation(tmp_path / "test", right=0.9, on="test"),
        "kinds folds and run": write_run(tmp_path / "run", right=50),
        "6 and 4 cells": write_evaluation(tmp_path / "fewer", right=0.9, seeds=2),
        "other images or classes in 6 of 6 cells": write_evaluation(tmp_path / "seeds", right=0.9, start=7),
    }
    for message, other in others.items():
        with pytest.raises(DataError, match=message):
            compare([folds, other])
    with pytest.raises(DataError, match="other images or classes in 1 of 1 cells"):
        compare([write_run(tmp_path / "x", right=5), write_run(tmp_path / "y", right=5, images=50)])


def test_what_is_no_finished_evaluation_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    whole = write_evaluation(tmp_path / "whole", right=0.9)
    part = write_evaluation(tmp_path / "part", right=0.8)
    next((part / "cells").iterdir()).unlink()
    damaged = write_evaluation(tmp_path / "damaged", right=0.7)
    cell = next((damaged / "cells").iterdir())
    cell.write_bytes(cell.read_bytes()[:-1])
    for path, message in ((part, "5 sound cells"), (damaged, "5 sound cells"), (tmp_path, "no finished evaluation")):
        assert main.main(["compare", str(whole), str(path)]) == 2
        assert message in capsys.readouterr().err
    with pytest.raises(ConfigError, match="nothing to compare: got 1"):
        compare([whole])
    assert main.main(["compare", str(whole), str(whole), "--resume"]) == 2
    assert "compare takes no options" in capsys.readouterr().err
    assert main.main(["compare", str(whole), str(whole)]) == 0
    assert "no evidence" in capsys.readouterr().out


DAMAGE = {
    b"{": "evaluation.json is damaged: got Expecting property name",
    b"\xff": "evaluation.json is damaged: got 'utf-8' codec can't decode",
    b"[]": "evaluation.json is damaged: got a list; expected JSON",
    b"{}": "describes no evaluation: got KeyError",
    b'{"folds": 2, "seeds": "x", "on": "folds", "seed": 0}': "describes no evaluation: got TypeError",
}


@pytest.mark.parametrize("content", DAMAGE)
def test_a_damaged_evaluation_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes):
    whole, damaged = (write_evaluation(tmp_path / name, right=0.9) for name in ("whole", "damaged"))
    (damaged / "evaluation.json").write_bytes(content)
    assert main.main(["compare", str(whole), str(damaged)]) == 2
    assert DAMAGE[content] in capsys.readouterr().err


FOREIGN = {
    b"path,label\na,b\n": "got KeyError('class_1')",
    b"path,label,class_1\n\xff,a,b\n": "got UnicodeDecodeError",
    b"path,label,class_1\n": "got no rows",
    b"": "got no rows",
    b"path,label,class_1\na,b\n": "got a row that is cut short",
    b"path,label,class_1\na,b\na,b,b\n": "got TypeError",
}


@pytest.mark.parametrize("content", FOREIGN)
def test_a_foreign_table_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes):
    whole, foreign = (write_run(tmp_path / name, right=30) for name in ("whole", "foreign"))
    (foreign / "predictions.csv").write_bytes(content)
    assert main.main(["compare", str(whole), str(foreign)]) == 2
    shown = capsys.readouterr().err
    assert "predictions.csv holds no predictions: " in shown
    assert FOREIGN[content] in shown


METRICS = {
    "test": {"macro_f1": 0.512, "auroc": 0.7654}, "splits": {"train": {"count": 1234}}, "kept_epoch": 6,
    "test_evaluations": 2, "parameters": {"trainable": 102_600}, "seconds": 61.5, "images_per_second": 1234.4,
    "peak_memory_bytes": 1_610_612_736, "notes": ["The dataset names no groups."],
}  # fmt: skip


def page_of(folder: Path) -> str:
    return Page((folder / "compare.html").read_text(encoding="utf-8")).text.replace("\N{NBSP}", " ")


def test_a_page_of_two_runs_tells_figures_and_costs(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    runs = [write_run(tmp_path / "a", right=30), write_run(tmp_path / "b", right=55)]
    (runs[0] / "metrics.json").write_text(json.dumps(METRICS))
    words = ["compare", *map(str, runs), "--out", str(tmp_path / "page")]
    assert main.main(words) == main.main(words) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(tmp_path / "page" / "compare.html")
    text = page_of(tmp_path / "page")
    for expected in (
        "50.0 % 37.7–62.3 51.2 % 0.7654 102,600 1 min 02 s 1.50 GiB 1,234", "91.7 %", "better +41.67", "McNemar",
        "One training on 1,234 images, judged on 60 test images.", "The model of epoch 6 was kept.",
        "Its test split was looked at 2 times.", "The dataset names no groups.",
        "One training, judged on 60 test images.", f"this was reached: {runs[1]}.",
    ):  # fmt: skip
        assert expected in text, expected


def test_a_page_tells_what_the_recipes_differ_in_and_runs_none(tmp_path: Path):
    runs = [write_run(tmp_path / name, right=30) for name in "abc"]
    recipe = tiny_recipe.config()
    for run, layer_decay in zip(runs, (None, 0.5), strict=False):
        recipe.optim.layer_decay = layer_decay
        (run / "config.py").write_text(config.dump(recipe))
    (runs[2] / "config.py").write_text("raise SystemError('a config is not run')")
    assert main.main(["compare", *map(str, runs), "--out", str(tmp_path / "page")]) == 0
    text = page_of(tmp_path / "page")
    assert "no. 3 optim.layer_decay none 0.5 – Every key" in text
    assert "tells the recipe of no. 3." in text


@pytest.mark.parametrize("on", ["folds", "test"])
def test_a_page_of_evaluations_is_written_without_being_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, on: str
):
    monkeypatch.chdir(tmp_path)
    settings = [write_evaluation(tmp_path / name, right=right, on=on) for name, right in (("a", 0.55), ("b", 0.97))]
    (settings[1] / "metrics.json").write_text(json.dumps({"protocol": ["Each of seeds 0 to 2."], "seconds": 6.0}))
    assert main.main(["compare", *map(str, settings)]) == 0
    (folder,) = (tmp_path / "ckpt" / "compare").iterdir()
    text = page_of(folder)
    accuracies = [[cell.hits.mean() for cell in read(path).cells] for path in settings]
    for found in accuracies:
        assert f"{100 * np.mean(found):.1f} % ± {100 * np.std(found, ddof=1):.1f}" in text
    for expected in ("on the same 60 images", "for other seeds and images", "6.0 s", "Each of seeds 0 to 2."):
        assert expected in text, expected
    assert len(read(settings[0]).setting.trainings) == len(accuracies[0])


@pytest.mark.parametrize("content", ["{", "\udcff"])
def test_damaged_metrics_are_refused(tmp_path: Path, content: str):
    runs = [write_run(tmp_path / "a", right=30), write_run(tmp_path / "b", right=55)]
    (runs[1] / "metrics.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(CheckpointError, match=r"metrics\.json is damaged"):
        compare(runs)


@pytest.mark.parametrize("content", ["null", "[]", '{"test": 3, "seconds": "x", "peak_memory_bytes": NaN, "notes": 1}'])
def test_what_other_metrics_do_not_tell_is_not_known(tmp_path: Path, content: str):
    run = write_run(tmp_path / "a", right=30)
    (run / "metrics.json").write_text(content)
    setting = read(run).setting
    assert (setting.macro_f1, setting.seconds, setting.peak_memory_bytes, setting.trainable) == (None,) * 4
    assert setting.top1.mean == 0.5


def test_a_directory_with_a_run_takes_no_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    runs = [write_run(tmp_path / "a", right=30), write_run(tmp_path / "b", right=55)]
    (runs[0] / "config.py").write_text("")
    assert main.main(["compare", *map(str, runs), "--out", str(runs[0])]) == 2
    assert "holds a run already" in capsys.readouterr().err
    assert not (runs[0] / "compare.html").exists()


def test_a_config_is_needed_for_all_else(capsys: pytest.CaptureFixture[str]):
    assert main.main(["train"]) == 2
    assert "--config" in capsys.readouterr().err
