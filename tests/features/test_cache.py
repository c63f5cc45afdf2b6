"""What is stored is found again whole or not at all: poisons, full and read-only disks, limits, dead processes."""

import errno
import fcntl
import hashlib
import logging
import os
import pickle
import resource
import shutil
import signal
from contextlib import suppress

import fill_campaign
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save, save_file

from finegrain.errors import OutputError
from finegrain.features import shelf as module
from finegrain.features.cache import FeatureCache
from finegrain.features.shelf import Shelf

NETWORK, OTHER, THIRD = "a" * 64, "b" * 64, "c" * 64
WIDTH = 6


def key(number: int) -> bytes:
    return hashlib.sha256(str(number).encode()).digest()


def row(number: int, network: str = NETWORK) -> torch.Tensor:
    return torch.arange(WIDTH, dtype=torch.float32) + 10 * number + ord(network[0])


def fill(cache: FeatureCache, numbers: range, network: str = NETWORK) -> Shelf:
    """A shelf with these rows, the missing ones computed; `computed` says how many."""
    shelf = cache.shelf(network, torch.float32)
    shelf.load({key(number) for number in numbers})
    missing = [number for number in numbers if key(number) not in shelf]
    if missing:
        with shelf.filling():
            shelf.load({key(number) for number in numbers})
            missing = [number for number in numbers if key(number) not in shelf]
            for number in missing:
                shelf.add([key(number)], row(number, network)[None])
    fill.computed = len(missing)
    return shelf


def is_right(shelf: Shelf, numbers: range, network: str = NETWORK) -> bool:
    order = list(numbers)[::-1]
    found = shelf.gather([key(number) for number in order])
    return torch.equal(found, torch.stack([row(number, network) for number in order]))


def files(cache: FeatureCache, network: str = NETWORK) -> list:
    return sorted((cache.folder / network).glob("*.safetensors"))


@pytest.fixture
def cache(tmp_path, monkeypatch) -> FeatureCache:
    monkeypatch.setattr(module, "_ROWS", 4)
    return FeatureCache(tmp_path / "cache")


def test_rows_are_sealed_in_files_and_found_again(cache) -> None:
    assert is_right(fill(cache, range(10)), range(10))
    assert len(files(cache)) == 3
    assert is_right(fill(cache, range(12)), range(12))
    assert fill.computed == 2
    assert is_right(fill(cache, range(12)), range(3, 9))
    assert fill.computed == 0
    assert sorted(path.name for path in (cache.folder / NETWORK).iterdir() if path not in files(cache)) == ["lock"]


def test_wide_rows_are_sealed_sooner(cache, monkeypatch) -> None:
    monkeypatch.setattr(module, "_BYTES", 2 * WIDTH * 4)
    fill(cache, range(6))
    assert len(files(cache)) == 2


def test_an_exception_loses_only_what_was_not_sealed(cache) -> None:
    shelf = cache.shelf(NETWORK, torch.float32)
    with suppress(KeyboardInterrupt), shelf.filling():
        for number in range(6):
            shelf.add([key(number)], row(number)[None])
        raise KeyboardInterrupt
    assert is_right(fill(cache, range(6)), range(6))
    assert fill.computed == 2


# Poisoned files


def flip_bits(file, other) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 4
    file.write_bytes(data)


def truncate(file, other) -> None:
    os.truncate(file, file.stat().st_size - 5)


def empty(file, other) -> None:
    file.write_bytes(b"")


def another_shape(file, other) -> None:
    save_file({"keys": load_file(file)["keys"], "values": torch.zeros(4, 9)}, file, {"network": NETWORK})


def another_format(file, other) -> None:
    tensors = load_file(file)
    save_file(tensors | {"values": tensors["values"].half()}, file, {"network": NETWORK})


def fewer_rows(file, other) -> None:
    tensors = load_file(file)
    save_file(tensors | {"values": tensors["values"][:3].clone()}, file, {"network": NETWORK})


def another_network(file, other) -> None:
    file.unlink()
    other.rename(file)


def another_network_under_its_name(file, other) -> None:
    file.unlink()
    other.rename(file.with_name(other.name))


def pickled(file, other) -> None:
    with file.open("wb") as stream:
        np.save(stream, np.array([{"code": 1}], dtype=object), allow_pickle=True)


def pickle_alone(file, other) -> None:
    file.write_bytes(pickle.dumps({"values": 1}))


def forge(**tensors):
    """A file whose name is right and whose content is not."""

    def poison(file, other) -> None:
        content = load_file(file) | tensors
        file.unlink()
        data = save({name: tensor for name, tensor in content.items() if tensor is not None}, {"network": NETWORK})
        file.with_name(hashlib.sha256(data).hexdigest() + ".safetensors").write_bytes(data)

    return poison


POISONS = {
    "bit": flip_bits,
    "truncated": truncate,
    "empty": empty,
    "shape": another_shape,
    "dtype": another_format,
    "rows": fewer_rows,
    "another network": another_network,
    "another network, its own name": another_network_under_its_name,
    "object array": pickled,
    "pickle": pickle_alone,
    "forged rows": forge(values=torch.zeros(2, WIDTH)),
    "forged format": forge(values=torch.zeros(4, WIDTH, dtype=torch.float16)),
    "no keys": forge(keys=None),
}


@pytest.mark.parametrize("name", POISONS)
def test_a_poisoned_file_is_computed_again(cache, caplog, name: str) -> None:
    fill(cache, range(12))
    fill(cache, range(12), OTHER)
    POISONS[name](files(cache)[1], files(cache, OTHER)[0])
    assert is_right(fill(cache, range(12)), range(12))
    assert fill.computed == 4
    caplog.clear()
    assert is_right(fill(cache, range(12)), range(12))
    assert fill.computed == 0
    assert len(files(cache)) == 3
    assert not caplog.records


def test_a_file_that_was_not_checked_gives_no_rows(cache) -> None:
    fill(cache, range(8))
    first, second = files(cache)
    wanted = {load_file(first)["keys"][0].numpy().tobytes()}
    other = load_file(second)["keys"][0].numpy().tobytes()
    shelf = cache.shelf(NETWORK, torch.float32)
    shelf.load(wanted)
    assert other not in shelf
    flip_last_byte(second)
    shelf.load(wanted | {other})
    assert other not in shelf


def test_damage_beside_a_sound_copy_of_its_rows_has_no_effect(cache, monkeypatch) -> None:
    """Without locks nothing is removed, so that a row may lie in a damaged file and in a sound one."""

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(module.fcntl, "lockf", refuse)
    for first in range(0, 800, 100):  # of some the name is in order before the damaged one's
        before = set(files(cache))
        fill(cache, range(first, first + 4))
        (damaged,) = set(files(cache)) - before
        flip_last_byte(damaged)
        fill(cache, range(first + 1, first + 5))
        assert fill.computed == 4
        assert is_right(fill(cache, range(first + 1, first + 6)), range(first + 1, first + 6))
        assert fill.computed == 1


def flip_last_byte(file) -> None:
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)


def test_rows_of_another_width_are_refused(cache) -> None:
    fill(cache, range(8))
    forge(values=torch.zeros(4, WIDTH + 1))(files(cache)[1], None)
    shelf = fill(cache, range(8))
    assert shelf.gather([key(number) for number in range(8)]).shape[0] == 8


def test_every_flipped_bit_is_noticed(cache) -> None:
    fill(cache, range(8))
    file, draw = files(cache)[0], np.random.default_rng(0)
    good = file.read_bytes()
    for _ in range(40):
        data = bytearray(good)
        data[draw.integers(len(data))] ^= 1 << draw.integers(8)
        file.write_bytes(data)
        assert is_right(fill(cache, range(8)), range(8))
        assert fill.computed == 4
        assert file.read_bytes() == good


# Disks


def test_a_read_only_cache_is_read_and_said(cache, monkeypatch, caplog) -> None:
    fill(cache, range(4))
    real = os.open

    def refuse(path, flags, *rest, **options):
        if flags & (os.O_WRONLY | os.O_RDWR):
            raise OSError(errno.EROFS, "Read-only file system")
        return real(path, flags, *rest, **options)

    monkeypatch.setattr(module.os, "open", refuse)
    shelf = fill(cache, range(9))
    assert is_right(shelf, range(9))
    assert fill.computed == 5
    assert len(files(cache)) == 1
    (record,) = caplog.records
    assert "cannot be written (Read-only file system): features are computed but not stored" in record.message


def test_a_full_disk_is_one_message_and_keeps_what_is_sealed(cache) -> None:
    fill(cache, range(4))
    before = [path.read_bytes() for path in files(cache)]
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        with pytest.raises(OutputError, match=r"got File too large; .* with room for \d+ bytes; free some"):
            fill(cache, range(9))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path.read_bytes() for path in files(cache)] == before
    assert {path.name for path in (cache.folder / NETWORK).iterdir()} == {files(cache)[0].name, "lock"}
    assert is_right(fill(cache, range(9)), range(9))


def test_a_file_in_the_cache_s_place_is_refused(cache) -> None:
    cache.folder.write_text("no folder")
    with pytest.raises(OutputError, match=r"the feature cache .* cannot be written: got .*; free some"):
        fill(cache, range(3))


def test_a_filesystem_without_locks_is_used_all_the_same(cache, monkeypatch, caplog) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(module.fcntl, "lockf", refuse)
    with caplog.at_level(logging.INFO):
        assert is_right(fill(cache, range(5)), range(5))
    assert "no locks on this filesystem (No locks available)" in caplog.text
    assert len(files(cache)) == 2


# The limit


def three_networks(cache) -> int:
    """Fill three; return the bytes of one."""
    for age, network in enumerate((NETWORK, OTHER, THIRD)):
        fill(cache, range(4), network)
        os.utime(cache.folder / network, ns=(0, 10**9 * (age + 1)))
    (cache.folder / "notes").mkdir()
    return files(cache)[0].stat().st_size


def test_the_networks_not_used_for_longest_go_first(cache) -> None:
    size = three_networks(cache)
    fill(cache, range(4), NETWORK)  # is now the one used last
    cache.limit_bytes = 3 * size
    assert is_right(fill(cache, range(8), THIRD), range(8), THIRD)
    assert sorted(path.name for path in cache.folder.iterdir()) == [NETWORK, THIRD, "notes"]
    assert len(files(cache, THIRD)) == 2


def test_what_does_not_fit_is_computed_and_said_and_costs_nobody_else(cache, caplog) -> None:
    size = three_networks(cache)
    cache.limit_bytes = size + 10
    assert is_right(fill(cache, range(12), THIRD), range(12), THIRD)
    assert sorted(path.name for path in cache.folder.iterdir()) == [NETWORK, OTHER, THIRD, "notes"]
    (record,) = caplog.records
    assert "size limit is reached; further features are computed but not stored" in record.message


def test_a_network_in_use_is_not_removed(cache) -> None:
    size = three_networks(cache)
    cache.limit_bytes = 3 * size
    held, release = os.pipe()
    child = os.fork()
    if not child:
        lock = os.open(cache.folder / NETWORK / "lock", os.O_RDWR)
        fcntl.lockf(lock, fcntl.LOCK_EX)
        os.write(release, b"x")
        signal.pause()
    try:
        os.read(held, 1)
        fill(cache, range(8), THIRD)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert sorted(path.name for path in cache.folder.iterdir()) == [NETWORK, THIRD, "notes"]


def test_a_folder_that_another_process_removes_meanwhile_is_no_matter(cache, monkeypatch) -> None:
    size = three_networks(cache)
    cache.limit_bytes = 3 * size
    entries = list(os.scandir(cache.folder))
    shutil.rmtree(cache.folder / OTHER)
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: entries if path == cache.folder else scandir(path))
    assert is_right(fill(cache, range(8), THIRD), range(8), THIRD)


def test_a_lock_whose_folder_was_removed_while_waiting_is_not_held(cache, monkeypatch) -> None:
    fill(cache, range(4))
    taken = []

    def take_lock(lock: int, *, wait: bool) -> bool:
        if not taken:
            shutil.rmtree(cache.folder / NETWORK)  # as a process does that makes room
        taken.append(os.fstat(lock).st_ino)
        return True

    monkeypatch.setattr(module, "take_lock", take_lock)
    shelf = cache.shelf(NETWORK, torch.float32)
    with shelf.filling():
        shelf.add([key(9)], row(9)[None])
        assert taken[-1] == os.stat(cache.folder / NETWORK / "lock").st_ino
    assert len(taken) == 2
    assert is_right(fill(cache, range(9, 10)), range(9, 10))
    assert fill.computed == 0


def test_what_bf16_does_is_noted_though_the_folder_is_read_only(cache) -> None:
    cache.folder.write_text("no folder")
    assert cache.likeness(NETWORK) is None
    cache.note_likeness(NETWORK, 0.5)
    assert cache.likeness(NETWORK) == 0.5


def test_rows_outlive_their_file(cache) -> None:
    shelf = fill(cache, range(8))
    for file in files(cache):
        file.unlink()
    assert is_right(shelf, range(8))


# Processes


def test_killed_processes_leave_no_corrupt_row(tmp_path) -> None:
    result = fill_campaign.campaign(tmp_path, trials=2, processes=4, seed=0)
    assert (result.corrupt, result.different, result.failed) == (0, 0, 0)
    assert result.kills >= 1
