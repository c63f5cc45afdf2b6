"""A run that another recipe, other data or a damaged file would change is not gone on with; the message is short."""

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from crash.campaign import words
from tiny_recipe import CLASSES, write_images

import main

SHORT = ("train.epochs=1", "schedule.warmup_epochs=0")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_images(tmp_path_factory.mktemp("data") / "images")


@pytest.fixture(scope="module")
def finished(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("finished") / "run"
    assert main.main(words(images, run, *SHORT)) == 0
    return run


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    return shutil.copytree(finished, tmp_path / "run")


def contents(folder: Path) -> dict[str, bytes]:
    kept = [path for path in folder.rglob("*") if path.is_file() and path.name != "run.lock"]
    return {str(path): path.read_bytes() for path in kept if "tensorboard" not in path.parts}


def refused(capsys: pytest.CaptureFixture[str], images: Path, run: Path, *changes: str) -> str:
    """Resume with these changes; return the message of the refusal, which must leave the run as it was."""
    before = contents(run)
    capsys.readouterr()
    assert main.main(words(images, run, *SHORT, "--resume", *changes)) == 2
    message = capsys.readouterr().err
    assert message.startswith("finegrain: ")
    assert message.count("\n") <= 12
    assert contents(run) == before
    return message


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        ("model.name=timm/test_vit", "'timm/test_resnet' was saved, 'timm/test_vit' is asked for"),
        ("optim.lr=0.1", "optim.lr: 0.003 was saved, 0.1 is asked for"),
        ("train.epochs=2", "train.epochs: 1 was saved, 2 is asked for"),
        ("seed=1", "seed: 0 was saved, 1 is asked for"),
    ],
)
def test_another_recipe(capsys: pytest.CaptureFixture[str], images: Path, run: Path, change: str, shown: str) -> None:
    message = refused(capsys, images, run, change)
    assert "is of another run" in message
    assert shown in message


def rename_class(root: Path) -> str:
    for split in root.iterdir():
        (split / CLASSES[1]).rename(split / "bustard")
    return f"class_names: number 1 was '{CLASSES[1]}', 'bustard' is asked for"


def swap_classes(root: Path) -> str:
    """The names stay, and so do their numbers, but each has the other's images."""
    for split in root.iterdir():
        (split / CLASSES[0]).rename(split / "aside")
        (split / CLASSES[1]).rename(split / CLASSES[0])
        (split / "aside").rename(split / CLASSES[1])
        (split / CLASSES[0] / "4.png").rename(split / CLASSES[0] / "5.png") if split.name == "train" else None
    return "train split: "


def add_class(root: Path) -> str:
    for split in root.iterdir():
        shutil.copytree(split / CLASSES[0], split / "dipper")
    return "class_names: 3 were saved, 4 are asked for"


def lose_an_image(root: Path) -> str:
    (root / "train" / CLASSES[0] / "0.png").unlink()
    return "train split: "


@pytest.mark.parametrize("change", [rename_class, swap_classes, add_class, lose_an_image])
def test_other_data(
    capsys: pytest.CaptureFixture[str], images: Path, run: Path, tmp_path: Path, change: Callable[[Path], str]
) -> None:
    other = shutil.copytree(images, tmp_path / "other")
    shown = change(other)
    assert shown in refused(capsys, other, run)


def test_flipped_bits(capsys: pytest.CaptureFixture[str], images: Path, run: Path) -> None:
    draw = random.Random(0)
    files = sorted(path for path in (run / "checkpoints").rglob("*") if path.is_file())
    assert {file.name for file in files} >= {"state.json", "state.safetensors", "config.json", "manifest.json"}
    for file in files:
        sound = file.read_bytes()
        flipped = bytearray(sound)
        flipped[draw.randrange(len(sound))] ^= 1 << draw.randrange(8)
        file.write_bytes(flipped)
        message = refused(capsys, images, run)
        assert f"the checkpoint {file.parent} is damaged" in message
        file.write_bytes(sound)


def test_a_disk_without_room_is_refused_before_the_first_step(
    capsys: pytest.CaptureFixture[str], images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=1_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    assert main.main(words(images, tmp_path / "run", *SHORT)) == 2
    captured = capsys.readouterr()
    assert "too full for this run's checkpoints: got 1,000,000 bytes free" in captured.err
    assert "epoch 1" not in captured.out
    monkeypatch.undo()
    assert main.main(words(images, tmp_path / "run", *SHORT)) == 0
