"""Saves are killed before every call, starved of space, and their files damaged at every bit."""

import os
import re
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from run_processes import begin, in_child

from finegrain.errors import CheckpointError, OutputError
from finegrain.storage import RunDirectory, append_line, atomic_write, locate, make_folder


def fill(content: str) -> Callable[[Path], None]:
    """Writes a checkpoint of two files, in pieces, so that it can be torn."""

    def write(folder: Path) -> None:
        for name in ("model", "state"):
            with open(folder / name, "w") as file:
                for _ in range(2):
                    file.write(content * 50)
                    file.flush()

    return write


def content_of(folder: Path | None) -> str:
    assert folder is not None
    (text,) = {(folder / name).read_text() for name in ("model", "state")}
    return text[: len(text) // 100]


def leftovers(path: Path) -> list[Path]:
    return list(path.rglob(".tmp-*"))


@pytest.fixture
def two_saves(tmp_path: Path) -> Path:
    with begin(tmp_path / "run") as run:
        run.save("latest", fill("old"))
        run.save("latest", fill("new"))
    return tmp_path / "run"


def test_locate_prefers_the_path_as_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tmp_path / "data"
    (data / "birds").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FINEGRAIN_DATA", str(data))
    assert locate("birds") == data / "birds"
    (tmp_path / "birds").mkdir()
    assert locate("birds") == Path("birds")
    assert locate("finegrain/storage.py").samefile(sys.modules["finegrain.storage"].__file__ or "")
    assert locate("nowhere") == Path("nowhere")
    assert locate("x" * 5000) == Path("x" * 5000)
    assert locate("a\0b") == Path("a\0b")


def test_atomic_write_replaces_whole_files(tmp_path: Path) -> None:
    file = tmp_path / "metrics.json"
    for content in ("été\n", b"\x00\xff", ""):
        atomic_write(file, content)
        assert file.read_bytes() == (content.encode() if isinstance(content, str) else content)
    assert os.listdir(tmp_path) == ["metrics.json"]
    with pytest.raises(OutputError, match="Not a directory"):
        atomic_write(file / "child", "text")


@pytest.mark.parametrize("limit", [0, 500, 999])
def test_atomic_write_without_space_keeps_the_old_file(tmp_path: Path, limit: int) -> None:
    file = tmp_path / "history.csv"
    atomic_write(file, "old")

    def starved() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        atomic_write(file, "n" * 1000)

    _, said = in_child(starved)
    assert said.startswith(f"OutputError: {file} cannot be written: got File too large")
    assert re.search(r"room for 1,000 bytes \([\d,]+ are free\)", said)
    assert "\n" not in said
    assert file.read_text() == "old"
    assert not leftovers(tmp_path)


def test_the_newest_two_of_each_kind_are_kept(tmp_path: Path) -> None:
    with begin(tmp_path) as run:
        assert run.newest("latest") is None
        for number in range(12):
            run.save("latest", fill(f"state{number}"))
            if number in (2, 5):
                run.save("best", fill(f"model{number}"))
        assert content_of(run.newest("latest")) == "state11"
        assert content_of(run.newest("best")) == "model5"
    names = sorted(folder.name for folder in (tmp_path / "checkpoints").iterdir())
    assert names == ["best-000000", "best-000001", "latest-000010", "latest-000011"]


def test_newest_goes_by_number_not_by_clock(two_saves: Path) -> None:
    new = begin(two_saves).newest("latest")
    assert new is not None
    os.utime(new, (0, 0))
    new = new.rename(new.with_name("latest-1000000"))
    assert begin(two_saves).newest("latest") == new


def test_a_failing_writer_leaves_nothing(two_saves: Path) -> None:
    def torn(folder: Path) -> None:
        fill("torn")(folder)
        raise KeyboardInterrupt

    with begin(two_saves) as run:
        with pytest.raises(KeyboardInterrupt):
            run.save("latest", torn)
        assert not leftovers(two_saves)
        assert content_of(run.newest("latest")) == "new"


STEPS = {"open", "write", "flush", "mkdir", "fsync", "rename", "close", "unlink", "rmdir", "__exit__"}


def kill_before(call: int, action: Callable[[], object]) -> int:
    """Run `action`, killing this process before its `call`-th call that touches the disk; return their number."""
    seen = 0

    def count(frame: object, event: str, called: object) -> None:
        nonlocal seen
        if event == "c_call" and getattr(called, "__name__", "") in STEPS:
            if seen == call:
                os.kill(os.getpid(), signal.SIGKILL)
            seen += 1

    sys.setprofile(count)
    action()
    sys.setprofile(None)
    return seen


def test_killed_before_every_call_of_a_save(tmp_path: Path) -> None:
    def prepared(path: Path) -> RunDirectory:
        run = begin(path).__enter__()
        for content in ("older", "old"):
            run.save("latest", fill(content))
        return run

    whole = prepared(tmp_path / "whole")
    calls = int(in_child(lambda: kill_before(-1, lambda: whole.save("latest", fill("new"))))[1])
    assert calls > 30
    survivors = []
    for call in range(calls):
        path = tmp_path / f"{call}"

        def killed(path: Path = path, call: int = call) -> None:
            run = prepared(path)
            kill_before(call, lambda: run.save("latest", fill("new")))

        status, _ = in_child(killed)
        assert os.WIFSIGNALED(status)
        with begin(path) as run:
            assert not leftovers(path)
            assert all(len(os.listdir(folder)) == 3 for folder in (path / "checkpoints").iterdir())
            survivors.append(content_of(run.newest("latest")))
            assert content_of(run.save("latest", fill("next"))) == "next"
            assert content_of(run.newest("latest")) == "next"
    turn = survivors.index("new")
    assert set(survivors[:turn]) == {"old"}
    assert set(survivors[turn:]) == {"new"}


def test_content_reaches_the_disk_before_its_name(two_saves: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[object] = []
    sizes: dict[int, int] = {}
    rename = os.rename

    def fsync(descriptor: int) -> None:
        found = os.fstat(descriptor)
        steps.append(found.st_ino)
        sizes[found.st_ino] = found.st_size

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "rename", lambda a, b: (steps.append(Path(b).name), rename(a, b))[1])
    run = begin(two_saves)
    folder = run.save("latest", fill("newest"))
    inode = {name: os.stat(folder / name).st_ino for name in ("model", "state", "manifest.json", ".", "..")}
    named = steps.index(folder.name)
    assert set(steps[: named - 1]) == {inode["model"], inode["state"], inode["manifest.json"]}
    assert steps[named - 1] == inode["."]
    assert steps[named + 1] == inode[".."]
    assert steps[named + 2] == ".tmp-latest-000000"

    steps.clear()
    run.write("metrics.json", "{}")
    file = two_saves / "metrics.json"
    assert steps == [file.stat().st_ino, file.name, two_saves.stat().st_ino]
    assert all(sizes[f.stat().st_ino] == f.stat().st_size for f in (file, folder / "model", folder / "manifest.json"))


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_a_save_without_space_keeps_the_old_checkpoint(two_saves: Path, share: float) -> None:
    """No byte, half of them, and all but the last."""
    size = 10_000

    def large(folder: Path) -> None:
        (folder / "model").write_bytes(bytes(size))

    def starved() -> object:
        with begin(two_saves) as run:
            limit = int(share * (size - 1))
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
            return run.save("latest", large)

    _, said = in_child(starved)
    assert said.startswith(f"OutputError: {two_saves / 'checkpoints' / 'latest-000002'} cannot be written")
    assert "got File too large" in said
    assert re.search(r"room for [\d,]+ bytes \([\d,]+ are free\)", said)
    assert "\n" not in said
    assert not leftovers(two_saves)
    assert content_of(begin(two_saves).newest("latest")) == "new"


def test_too_little_space_is_known_beforehand(tmp_path: Path) -> None:
    with begin(tmp_path) as run:
        run.require_space(1)
        with pytest.raises(OutputError, match=r"bytes free; expected 1,000,000,000,000,000,000 bytes; free some space"):
            run.require_space(10**18)


def damaged(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        begin(path).newest("latest")
    message = str(caught.value)
    old, new = (path / "checkpoints" / f"latest-00000{number}" for number in (0, 1))
    assert message.startswith(f"the checkpoint {new} is damaged: got ")
    assert message.endswith(f"delete {new} to fall back on {old}")
    return message


@pytest.mark.parametrize("name", ["model", "state", "manifest.json"])
def test_flipped_bits_are_found(two_saves: Path, name: str) -> None:
    file = two_saves / "checkpoints" / "latest-000001" / name
    sound = file.read_bytes()
    for bit in range(0, len(sound) * 8, 5 if name == "manifest.json" else 29):
        flipped = bytearray(sound)
        flipped[bit // 8] ^= 1 << bit % 8
        file.write_bytes(flipped)
        damaged(two_saves)
    file.write_bytes(sound)
    assert content_of(begin(two_saves).newest("latest")) == "new"


@pytest.mark.parametrize("name", ["model", "manifest.json"])
def test_truncations_are_found(two_saves: Path, name: str) -> None:
    file = two_saves / "checkpoints" / "latest-000001" / name
    sound = file.read_bytes()
    for length in range(0, len(sound), 3):
        file.write_bytes(sound[:length])
        assert name in damaged(two_saves)
    file.unlink()
    assert f"{file}: No such file" in damaged(two_saves)
    file.mkdir()
    assert name in damaged(two_saves)
    file.parent.rename(two_saves / "aside")
    file.parent.touch()
    assert "Not a directory" in damaged(two_saves)


@pytest.mark.parametrize("manifest", ["[]", "1", '{"model": 1}', '{"model": {}}', '{"model": null}'])
def test_foreign_json_is_no_manifest(two_saves: Path, manifest: str) -> None:
    (two_saves / "checkpoints" / "latest-000001" / "manifest.json").write_text(manifest)
    assert "manifest.json is no manifest" in damaged(two_saves)


def test_nothing_sound_is_said(two_saves: Path) -> None:
    for number in (0, 1):
        (two_saves / "checkpoints" / f"latest-00000{number}" / "model").write_text("")
    with pytest.raises(CheckpointError, match=r"model differs from manifest\.json.*start again with another --out"):
        begin(two_saves).newest("latest")


def test_a_line_is_added_whole_or_not_at_all(tmp_path: Path) -> None:
    file = tmp_path / "rows"
    append_line(file, "first")
    limits, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (9, limits[1]))  # room for three bytes of the next
    try:
        with pytest.raises(OutputError, match=r"rows cannot be written: got .*room for 7 bytes"):
            append_line(file, "second")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert file.read_text() == "first\n"
    append_line(file, "über")
    assert file.read_bytes() == "first\nüber\n".encode()


def test_a_folder_is_made_or_one_message_says_why_not(tmp_path: Path) -> None:
    make_folder(tmp_path / "a" / "b")
    make_folder(tmp_path / "a" / "b")
    (tmp_path / "a" / "file").touch()
    for path in (tmp_path / "a" / "file", tmp_path / "a" / "file" / "below", tmp_path / ("x" * 300)):
        with pytest.raises(OutputError, match="cannot be written"):
            make_folder(path)
