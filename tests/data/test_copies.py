"""Exact copies: found whatever the file, never on both sides of a split, and what is said of them."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from finegrain.data import splits
from finegrain.data.base import Data, Sample
from finegrain.data.copies import find_copies, group_copies, straddling
from finegrain.data.folder import ImageFolder
from finegrain.data.folds import make_folds
from finegrain.errors import DataError

DRAW = np.random.default_rng(0)


def write(path: Path, pixels: np.ndarray | None = None) -> np.ndarray:
    pixels = DRAW.integers(0, 256, (6, 5, 3), dtype=np.uint8) if pixels is None else pixels
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return pixels


def build(root: Path, **words: object) -> Data:
    config = ImageFolder(root=str(root), **words)
    return splits.build(config, config.table())


@pytest.fixture
def shipped(tmp_path: Path) -> Path:
    """Fifty test images lie in train too, as files of another format; one of val does."""
    for number in range(50):
        for name in ("jay", "wren"):
            write(tmp_path / f"train/{name}/{number}.png")
        write(tmp_path / f"train/jay/copy{number}.bmp", write(tmp_path / f"test/jay/{number}.png"))
    write(tmp_path / "test/wren/0.png")
    write(tmp_path / "val/jay/0.png", write(tmp_path / "train/jay/copy.png"))
    write(tmp_path / "val/wren/0.png")
    return tmp_path


def test_copies_in_two_splits_stop_the_run(shipped: Path) -> None:
    with pytest.raises(DataError, match="51 of 204 images are copies of images of another split") as caught:
        build(shipped)
    assert "train/jay/copy0.bmp is a copy of an image of another split: got test/jay/0.png" in str(caught.value)
    assert "data.on_bad=drop" in str(caught.value)


def test_on_request_they_leave_train_and_test_stays_whole(shipped: Path) -> None:
    data = build(shipped, on_bad="drop")
    assert {entry.path for entry in data.dropped} == {"train/jay/copy.png"} | {
        f"train/jay/copy{number}.bmp" for number in range(50)
    }
    assert (len(data.train), len(data.val), len(data.test)) == (100, 2, 51)
    assert any("Left out 51 of 204 images, which cannot be read, or are copies" in note for note in data.notes)


def test_a_copy_of_test_leaves_val_and_train() -> None:
    parts = (("train", 0), (None, 1), ("val", 2), ("test", 3), ("test", 4))
    samples = [Sample(path=str(number), label=0, split=split) for split, number in parts]
    same = dict.fromkeys(map(str, range(5)), b"same")
    assert [entry.path for entry in straddling(find_copies(samples, same))] == ["0", "1", "2"]
    assert straddling(find_copies(samples[:2], same)) == []


@pytest.mark.parametrize("seed", range(5))
def test_copies_are_carved_and_folded_together(tmp_path: Path, seed: int) -> None:
    for name in ("jay", "wren"):
        for number in range(20):
            pixels = write(tmp_path / f"{name}/{number}.png")
            if number % 2:
                write(tmp_path / f"{name}/{number}b.png", pixels)
    data = build(tmp_path, split_seed=seed, val_fraction=0.3, test_fraction=0.3)
    everything = (*data.train, *data.val, *data.test)
    for name in ("jay", "wren"):
        for number in range(1, 20, 2):
            pair = [f"{name}/{number}.png", f"{name}/{number}b.png"]
            sides = [part for part in (data.train, data.val, data.test) if {s.path for s in part} & set(pair)]
            assert len(sides) == 1
    groups = Counter(sample.group for sample in everything)
    assert (groups.pop(None), set(groups.values())) == (20, {2})
    for fold in make_folds(everything, folds=3, seed=seed, class_names=data.class_names):
        assert not {s.group for s in fold.train if s.group} & {s.group for s in fold.held_out}
    assert any(
        note.startswith("20 images are exact copies of others (e.g. jay/1.png and jay/1b.png)") for note in data.notes
    )
    assert any("burst" in note for note in data.notes)


def test_a_copy_ties_the_groups_it_lies_in() -> None:
    named = (("a", "nest 1"), ("b", "nest 1"), ("c", "nest 2"), ("d", None), ("e", "nest 3"), ("f", None))
    samples = [Sample(path=path, label=0, group=group) for path, group in named]
    tied = group_copies(samples, [(samples[1], samples[2]), (samples[2], samples[3])])
    assert [sample.group for sample in tied] == ["copies of b"] * 4 + ["nest 3", None]
    assert group_copies(samples, []) == tuple(samples)


def test_one_image_under_two_labels_is_said(tmp_path: Path) -> None:
    for number in range(6):
        write(tmp_path / f"jay/{number}.png")
        write(tmp_path / f"wren/{number}.png")
    write(tmp_path / "wren/twin.png", write(tmp_path / "jay/twin.png"))
    (note,) = [note for note in build(tmp_path).notes if "several labels" in note]
    assert note.startswith("1 images carry several labels")
    assert "jay/twin.png as jay, wren/twin.png as wren" in note
