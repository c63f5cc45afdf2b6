from collections import Counter
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
from PIL import Image

from finegrain.data import splits
from finegrain.data.base import Data, DataConfig, Facts, Sample, Table
from finegrain.data.csv_list import CsvList
from finegrain.data.folder import ImageFolder
from finegrain.data.synthetic import SyntheticBirds
from finegrain.errors import DataError


def build(config: DataConfig) -> Data:
    return splits.build(config, config.table())


class Blank:
    """A source that is no file."""

    def read(self, sample):
        return np.zeros((2, 2, 3), dtype=np.uint8)


@dataclass(kw_only=True, slots=True)
class Given(DataConfig):
    """A dataset whose table the test gives."""

    root: str = "."
    samples: Any = ()
    class_names: Any = ("a", "b")
    facts: ClassVar[Facts | None] = None

    def table(self):
        return Table(samples=tuple(self.samples), class_names=tuple(self.class_names), source=Blank())


def samples_of(counts, *, split=None, prefix="", group=None):
    return [
        Sample(path=f"{prefix}{label}/{number}.jpg", label=label, split=split, group=group and group(label, number))
        for label, count in enumerate(counts)
        for number in range(count)
    ]


def counts_of(samples, classes=2):
    counter = Counter(sample.label for sample in samples)
    return [counter[label] for label in range(classes)]


def refusal(config):
    with pytest.raises(DataError) as caught:
        build(config)
    return str(caught.value)


def test_a_dataset_without_splits_is_carved_twice():
    data = build(Given(samples=samples_of([50, 30])))
    assert counts_of(data.test) == [10, 6]
    assert counts_of(data.val) == [4, 2]
    assert counts_of(data.train) == [36, 22] == data.class_counts()
    assert "no test split: 16 images" in data.carved[0]
    assert "no val split: 6 images" in data.carved[1]
    assert "burst" in data.notes[0]


def test_shipped_splits_stay_as_they_are():
    parts = {name: samples_of([3, 2], split=name, prefix=name) for name in ("train", "val", "test")}
    data = build(Given(samples=parts["test"] + parts["train"] + parts["val"]))
    assert [list(data.train), list(data.val), list(data.test)] == list(parts.values())
    assert data.notes == data.carved == ()


def test_val_is_carved_from_train_where_only_test_is_shipped():
    test = samples_of([5, 5], split="test", prefix="t")
    data = build(Given(samples=samples_of([20, 20], split="train") + test, val_fraction=0.25))
    assert list(data.test) == test
    assert counts_of(data.val) == [5, 5]


def test_known_groups_need_no_warning():
    data = build(Given(samples=samples_of([20, 20], group=lambda label, number: f"{label}-{number // 2}")))
    assert not any("burst" in note for note in data.notes)


def test_classes_that_cannot_be_evaluated_are_named():
    data = build(Given(samples=samples_of([1, 30])))
    assert any(note == "Classes without a val image (1): a." for note in data.notes)
    assert any(note == "Classes without a test image (1): a." for note in data.notes)


def test_other_than_official_sizes_are_noted(monkeypatch):
    monkeypatch.setattr(Given, "facts", Facts(num_classes=2, train=41, val=0, test=10))
    samples = samples_of([20, 20], split="train") + samples_of([5, 5], split="test", prefix="t")
    notes = build(Given(samples=samples)).notes
    assert "lists 40 train images, the official dataset 41" in notes[0]
    assert not any("test images, the official" in note for note in notes)


def test_nothing_to_validate_on_is_refused():
    message = refusal(Given(samples=samples_of([1, 1])))
    assert "the test split is empty" in message
    assert "the val split is empty" in message


def test_a_class_without_a_train_image_is_refused():
    samples = samples_of([9, 0], split="train") + samples_of([1, 1], split="test", prefix="t")
    assert "class without a train image: got b" in refusal(Given(samples=samples))


def test_one_image_in_two_splits_is_refused():
    samples = samples_of([9, 9], split="train") + samples_of([1, 1], split="test")
    message = refusal(Given(samples=samples))
    assert "one image in both" in message
    assert "0/0.jpg" in message


def test_one_group_in_two_splits_is_refused():
    def group(label, number):
        return "nest"

    samples = samples_of([9, 9], split="train", group=group)
    samples += samples_of([1, 1], split="test", prefix="t", group=group)
    samples += samples_of([1, 1], split="val", prefix="v")
    assert "one group in both train and test: got nest" in refusal(Given(samples=samples))


def test_hashes_know_the_splits_not_their_order():
    samples = samples_of([20, 20])
    first, again = build(Given(samples=samples)), build(Given(samples=samples[::-1]))
    assert first.hashes() == again.hashes()
    assert first.hashes() != build(Given(samples=samples, split_seed=1)).hashes()


def test_content_hashes_know_the_images_whatever_is_read_of_them(photos):
    whole = build(ImageFolder(root=str(photos)))
    rows = "".join(f"{p.relative_to(photos)},{p.parent.name},0,0,5,5\n" for p in sorted(photos.rglob("*.png")))
    (photos / "labels.csv").write_text("path,label,left,top,right,bottom\n" + rows)
    cropped = build(CsvList(root=str(photos), box_margin=0.0))
    assert cropped.source.read(cropped.train[0]).shape == (5, 5, 3)
    assert cropped.content_hashes() == whole.content_hashes()
    for name in ("wren", "robin"):  # copies of each other before and after
        Image.new("RGB", (8, 6), (1, 2, 3)).save(photos / name / Path(whole.train[0].path).name)
    other = build(ImageFolder(root=str(photos)))
    assert other.hashes() == whole.hashes()
    unlike = {key for key, digest in other.content_hashes().items() if digest != whole.content_hashes()[key]}
    assert unlike == {"train"}


def test_what_is_drawn_or_in_memory_has_content_hashes_too():
    def hashes(seed=0, size=32):
        birds = SyntheticBirds(
            num_species=2, train_per_species=2, val_per_species=1, test_per_species=1, seed=seed, image_size=size
        )
        return build(birds).content_hashes()["test"]

    assert len({hashes(), hashes(seed=1), hashes(size=33)}) == 3
    assert hashes() == hashes()
    samples = samples_of([20, 20])
    blank = build(Given(samples=samples))
    table = Given(samples=samples).table()
    bright = SimpleNamespace(read=lambda sample: np.full((2, 2, 3), 9, np.uint8))
    other = splits.build(Given(samples=samples), replace(table, source=bright))
    assert other.hashes() == blank.hashes()
    assert not set(other.content_hashes().values()) & set(blank.content_hashes().values())


@pytest.fixture
def photos(tmp_path):
    for name in ("wren", "robin"):
        (tmp_path / name).mkdir()
        for number in range(6):
            Image.new("RGB", (8, 6), (number * 40, 90, 10)).save(tmp_path / name / f"{number}.png")
    return tmp_path


def test_files_are_checked_and_read(photos):
    data = build(ImageFolder(root=str(photos)))
    assert data.dropped == ()
    assert data.source.read(data.train[0]).shape == (6, 8, 3)


def test_an_unreadable_image_stops_the_run(photos):
    (photos / "wren/0.png").write_bytes(b"no image")
    (photos / "wren/1.png").write_bytes(b"")
    message = refusal(ImageFolder(root=str(photos)))
    assert "2 of 12 images cannot be read" in message
    assert "wren/0.png" in message
    assert "wren/1.png" in message
    assert "data.on_bad=drop" in message


def test_an_unreadable_image_is_left_out_on_request(photos):
    (photos / "wren/0.png").write_bytes(b"no image")
    data = build(ImageFolder(root=str(photos), on_bad="drop"))
    assert [entry.path for entry in data.dropped] == ["wren/0.png"]
    assert len(data.train + data.val + data.test) == 11
    assert any(note.startswith("Left out 1 of 12 images, which cannot be read") for note in data.notes)


def test_dropping_a_whole_class_is_refused(photos):
    for number in range(6):
        (photos / f"wren/{number}.png").write_bytes(b"")
    assert "class without a train image: got wren" in refusal(ImageFolder(root=str(photos), on_bad="drop"))


def test_the_pixel_cache_changes_no_pixel(photos, tmp_path):
    plain = build(ImageFolder(root=str(photos)))
    cached = build(ImageFolder(root=str(photos), pixel_cache=str(tmp_path / "cache")))
    assert cached.hashes() == plain.hashes()
    for sample in plain.train:
        assert np.array_equal(cached.source.read(sample), plain.source.read(sample))


def test_what_is_unusual_about_files_is_noted_once_with_its_number(tmp_path: Path):
    shades = count()
    for split in ("train", "val", "test"):
        for name in ("jay", "wren"):
            folder = tmp_path / split / name
            folder.mkdir(parents=True)
            for number in range(2):
                Image.new("RGB", (8, 8), (next(shades), 0, 0)).save(folder / f"{number}.jpg", format="PNG")
    data = build(ImageFolder(root=str(tmp_path)))
    [note] = [note for note in data.notes if "another format" in note]
    assert note.startswith("12 images: ")
    assert "(e.g. test/jay/0.jpg)" in note
