"""Cached pixels equal decoded ones, and whatever changes or is damaged is decoded again."""

import json
import os
import pickle
import shutil

import numpy as np
import pytest
from image_corpus import JPEG, encode, photo

from finegrain.data import pixel_cache
from finegrain.data.base import Sample
from finegrain.data.image import FileSource
from finegrain.data.pixel_cache import PixelCache
from finegrain.errors import DataError, OutputError


class Counting(FileSource):
    """Counts what it decodes."""

    decoded = 0

    def read(self, sample: Sample) -> np.ndarray:
        type(self).decoded += 1
        return super().read(sample)


@pytest.fixture
def samples() -> list[Sample]:
    return [Sample(path=f"{i}.png", label=i, box=(1, 2, 9, 9 + i)) for i in range(6)]


@pytest.fixture
def source(tmp_path, samples) -> Counting:
    root = tmp_path / "set"
    root.mkdir()
    for i, sample in enumerate(samples):
        (root / sample.path).write_bytes(encode(photo(20 + i, 30), "PNG"))
    Counting.decoded = 0
    return Counting(root, 10**6)


def build(tmp_path, samples, source) -> PixelCache:
    return PixelCache(tmp_path / "cache", samples, source)


def decodes(tmp_path, samples, source) -> bool:
    """Whether building the cache anew decodes anything."""
    Counting.decoded = 0
    build(tmp_path, samples, source)
    return Counting.decoded > 0


def only_cache(tmp_path):
    (folder,) = (entry for entry in (tmp_path / "cache").iterdir() if entry.is_dir())
    return folder


@pytest.mark.parametrize("margin", [None, 0.1])
def test_equals_the_source(tmp_path, samples, source, margin):
    source.box_margin = margin
    cache = build(tmp_path, samples, source)
    for reader in (cache, pickle.loads(pickle.dumps(cache)), build(tmp_path, samples, source)):
        for sample in samples:
            assert np.array_equal(reader.read(sample), source.read(sample))


def test_is_built_once_whatever_the_order_and_the_labels(tmp_path, samples, source):
    assert decodes(tmp_path, samples, source)
    relabelled = [Sample(path=s.path, label=0, box=s.box) for s in samples]
    assert not decodes(tmp_path, relabelled[::-1], source)


def test_any_change_builds_anew(tmp_path, samples, source):
    build(tmp_path, samples, source)
    assert decodes(tmp_path, samples[:-1], source)
    assert decodes(tmp_path, [*samples[:-1], Sample(path="5.png", label=5, box=(0, 0, 3, 3))], source)
    source.box_margin = 0.2
    assert decodes(tmp_path, samples, source)
    os.utime(source.root / "3.png", ns=(0, 5))
    assert decodes(tmp_path, samples, Counting(source.root, source.max_pixels, 0.2))


@pytest.mark.parametrize("name", ["index.npy", "manifest.json", "pixels.bin"])
@pytest.mark.parametrize("damage", ["truncated", "missing", "foreign"])
def test_a_damaged_cache_is_rebuilt(tmp_path, samples, source, name, damage):
    build(tmp_path, samples, source)
    file = only_cache(tmp_path) / name
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:-3] if damage == "truncated" else b"\x93NUMPY of another")
    cache = build(tmp_path, samples, source)
    assert all(np.array_equal(cache.read(s), source.read(s)) for s in samples)


def test_every_flipped_bit_is_noticed(tmp_path, samples, source):
    build(tmp_path, samples, source)
    folder = only_cache(tmp_path)
    rng = np.random.default_rng(0)
    for name in ("pixels.bin", "index.npy", "manifest.json"):
        good = (folder / name).read_bytes()
        for _ in range(30):
            data = bytearray(good)
            data[rng.integers(len(data))] ^= 1 << rng.integers(8)
            (folder / name).write_bytes(data)
            cache = build(tmp_path, samples, source)
            assert all(np.array_equal(cache.read(s), source.read(s)) for s in samples)
        (folder / name).write_bytes(good)


def test_pickled_objects_are_never_loaded(tmp_path, samples, source):
    build(tmp_path, samples, source)
    folder = only_cache(tmp_path)
    np.save(folder / "index.npy", np.array([{"code": 1}], dtype=object), allow_pickle=True)
    cache = build(tmp_path, samples, source)
    assert np.array_equal(cache.read(samples[0]), source.read(samples[0]))


def test_an_unfinished_build_leaves_nothing_and_is_taken_up(tmp_path, samples, source):
    (source.root / "4.png").write_bytes(JPEG[:100])
    with pytest.raises(DataError, match=r"4\.png"):
        build(tmp_path, samples, source)
    assert [entry.name for entry in (tmp_path / "cache").iterdir()] == [".lock"]
    (source.root / "4.png").write_bytes(encode(photo(), "PNG"))
    fresh = Counting(source.root, source.max_pixels)
    build(tmp_path, samples, fresh)
    leftover = only_cache(tmp_path).with_suffix(".tmp")
    only_cache(tmp_path).rename(leftover)
    build(tmp_path, samples, fresh)
    assert not leftover.exists()


def test_a_full_disk_is_refused_before_decoding_all(tmp_path, samples, source, monkeypatch):
    usage = type(shutil.disk_usage(tmp_path))
    monkeypatch.setattr(pixel_cache.shutil, "disk_usage", lambda folder: usage(1000, 990, 10))
    with pytest.raises(OutputError, match=r"does not fit .* got 10 bytes free; expected about"):
        build(tmp_path, samples, source)


def test_a_folder_that_cannot_be_made_is_refused(tmp_path, samples, source):
    (tmp_path / "cache").write_text("a file in its place")
    with pytest.raises(OutputError, match="pixel cache cannot be written"):
        build(tmp_path, samples, source)


def test_a_disk_that_fills_up_is_refused(tmp_path, samples, source, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pixel_cache, "_sync", full)
    with pytest.raises(OutputError, match=r"No space left on device, [\d,]+ bytes free"):
        build(tmp_path, samples, source)
    assert not any(entry.is_dir() for entry in (tmp_path / "cache").iterdir())


def test_the_manifest_is_plain_json(tmp_path, samples, source):
    build(tmp_path, samples, source)
    assert set(json.loads((only_cache(tmp_path) / "manifest.json").read_text())) == {"index_sha256", "pixels_bytes"}
