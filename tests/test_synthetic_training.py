"""A classifier that learns from generated images as well: `data.synthetic`, from the command line to the report."""

import json
from pathlib import Path

import pytest
from tiny_recipe import CLASSES, config, write_images
from versions import write_version

import main
from finegrain import config as configs
from finegrain.data import splits
from finegrain.engine.checkpoint import read_course
from finegrain.storage import RunDirectory

HEAD = ("augment.preset=none", "augment.mixup=0", "augment.mix_probability=0", "train.ema_decay=none", "train.epochs=1")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with images, a version whose generator saw their train split, and a recipe of each tuning."""
    place = tmp_path_factory.mktemp("synthetic")
    data = config().data
    data.root = str(write_images(place / "images"))
    seen = splits.build(data, data.table()).train_images()
    write_version(place / "version", dict.fromkeys(CLASSES, 4), seen=seen)
    test = splits.build(data, data.table()).test[0].path
    known = splits.build(data, data.table()).image_ids[test]
    write_version(place / "leaking", dict.fromkeys(CLASSES, 4), seen=[*seen, known])
    for name, recipe in (("full", config()), ("head", config())):
        recipe.data.root = data.root
        source = configs.dump(recipe)
        if name == "head":
            source = source.replace("finegrain.tuning.full import Full", "finegrain.tuning.head import Head")
            start = source.index("tuning=Full(")
            source = source[:start] + "tuning=Head()," + source[source.index("loss=", start) - 9 :]
        (place / f"{name}.py").write_text(source)
    return place


def go(place: Path, *words: str, command: str = "train", name: str = "full") -> int:
    return main.main([command, "--config", str(place / f"{name}.py"), *words])


def test_train_learns_from_them_and_its_report_says_so(place: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    words = (f"data.synthetic={place / 'version'}", "train.epochs=1")
    assert go(place, "--out", str(out), *words) == 0
    metrics = json.loads((out / "metrics.json").read_text())
    notes = " ".join(metrics["notes"])
    assert f"Train holds 6 generated images of {place / 'version'}, 28.6% of it; val and test hold none." in notes
    assert {name: split["count"] for name, split in metrics["splits"].items()} == {"train": 21, "val": 6, "test": 3}
    identity = read_course(RunDirectory(out, resume=True)).identity
    assert identity["synthetic"].startswith("6 images of ")
    best = max((out / "checkpoints").glob("best-*"))
    assert len((best / "train_images.txt").read_text().splitlines()) == 21
    assert main.main(["evaluate", "--config", str(out / "config.py"), "--out", str(out)]) == 0


def test_other_generated_images_are_another_run(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, words = tmp_path / "run", (f"data.synthetic={place / 'version'}", "train.epochs=1")
    assert go(place, "--out", str(out), *words) == 0
    assert go(place, "--out", str(out), "--resume", *words, "data.synthetic_fraction=0.2") == 2
    shown = capsys.readouterr().err
    assert "synthetic: '6 images of" in shown
    assert "data.synthetic_fraction: 0.3 was saved, 0.2 is asked for" in shown
    assert go(place, "--out", str(out), "--resume", "train.epochs=1") == 2


def test_a_head_on_cached_features_learns_from_them(place: Path, tmp_path: Path) -> None:
    words = (*HEAD, f"data.synthetic={place / 'version'}", "data.synthetic_fraction=none")
    assert go(place, "--out", str(tmp_path / "run"), *words, name="head") == 0
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["splits"]["train"]["count"] == 15 + 12


def test_what_knows_a_test_image_is_refused(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert go(place, "--out", str(tmp_path / "run"), f"data.synthetic={place / 'leaking'}") == 2
    shown = capsys.readouterr().err
    assert "was trained on images that are to judge: got 1 of test (test/auk/0.png)" in shown


def test_a_share_of_nothing_is_refused(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert go(place, "--out", str(tmp_path / "run"), "data.synthetic_fraction=0.5") == 2
    assert "data.synthetic_fraction has no effect: got 0.5" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["crossval", "learning-curve", "tune"])
def test_commands_that_judge_by_train_images_refuse_them(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    words = (f"data.synthetic={place / 'version'}", "--out", str(tmp_path / "out"))
    assert go(place, *words, command=command) == 2
    assert f"{command} takes no generated images: it judges, or chooses, by images of train" in capsys.readouterr().err
