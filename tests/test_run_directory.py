"""A run directory is held by one process, and who may not begin there is told why in one message."""

import errno
import os
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from run_processes import Say, begin, in_child, spawn

from finegrain.errors import OutputError
from finegrain.storage import RunDirectory, exclusive

NOBODY = 65534


def test_a_begun_run_is_only_resumed(tmp_path: Path) -> None:
    with RunDirectory(tmp_path, resume=False) as run:
        run.write("config.py", "")
    with pytest.raises(OutputError, match=r"holds a run already.*--resume.*--out"):
        RunDirectory(tmp_path, resume=False).__enter__()
    with begin(tmp_path):
        pass


def test_a_second_process_is_refused_while_the_first_lives(tmp_path: Path) -> None:
    """A process that the first forked, as loaders do, may outlive it without holding the lock."""

    def hold(say: Say) -> None:
        with begin(tmp_path):
            if worker := os.fork():
                say(worker)
            time.sleep(60)

    pid, answer = spawn(hold)
    worker = int(os.read(answer, 20))
    with pytest.raises(OutputError, match=rf"is in use: got process {pid} on .* since \d{{4}}-"), begin(tmp_path):
        pass
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    with begin(tmp_path):
        assert f"process {os.getpid()} on" in (tmp_path / "run.lock").read_text()
    os.kill(worker, signal.SIGKILL)
    os.close(answer)


def test_of_two_that_start_together_one_wins(tmp_path: Path) -> None:
    for trial in range(20):
        waiting, go = os.pipe()

        def compete(say: Say, path: Path = tmp_path / f"{trial}", waiting: int = waiting) -> None:
            os.read(waiting, 1)
            with begin(path):
                say("won")
                time.sleep(60)

        rivals = [spawn(compete), spawn(compete)]
        os.write(go, b"go")
        lost, won = sorted(os.read(answer, 1000).decode() for _, answer in rivals)
        for pid, answer in rivals:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            os.close(answer)
        os.close(waiting)
        os.close(go)
        assert "is in use" in lost
        assert won == "won"


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that other users may enter."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        yield Path(name)


@pytest.mark.parametrize("out", ["", "new", "begun"])
def test_without_rights_nothing_begins(public: Path, out: str) -> None:
    with begin(public / "begun"):
        os.chmod(public / "begun" / "run.lock", 0o666)

    def enter() -> None:
        if os.getuid() == 0:
            os.setuid(NOBODY)
        with begin(public / out):
            pass

    for folder in (public, public / "begun", public / "begun" / "checkpoints"):
        os.chmod(folder, 0o555)
    _, said = in_child(enter)
    assert said.startswith(f"OutputError: {public / out}")
    assert "cannot be written: got Permission denied; expected a writable folder; free some space, mend the" in said


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for out in ("file", "file/run"):
        with pytest.raises(OutputError, match=f"{out} cannot be written: got Not a directory"):
            begin(tmp_path / out).__enter__()


@pytest.mark.parametrize("hold", [lambda path: exclusive(path / "lock"), lambda path: RunDirectory(path, resume=False)])
def test_a_filesystem_without_locks_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hold):
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("finegrain.storage.fcntl.lockf", refuse)
    with pytest.raises(OutputError, match=r"No locks available.*a filesystem that knows locks"), hold(tmp_path):
        pass
