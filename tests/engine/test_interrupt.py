"""Runs in processes of their own, stopped by signals: they save, leave nobody behind, and go on to the same end."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from crash.campaign import fingerprint, wait_until_begun, words
from forked import Forked
from tiny_recipe import write_images

LONG = ("train.epochs=8", "train.save_steps=1")
SECONDS = 20
"""Longest time from a signal to the end; a step and a save take a fraction of one."""


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_images(tmp_path_factory.mktemp("data") / "images")


@pytest.fixture(scope="module")
def uninterrupted(images: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    run = tmp_path_factory.mktemp("whole") / "run"
    assert Forked(words(images, run, *LONG)).wait() == 0
    return fingerprint(run)


def processes_of(session: int) -> set[int]:
    """The living processes of a session."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, _, _, number = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
        except OSError:
            continue
        if int(number) == session and state != "Z":
            found.add(int(folder.name))
    return found


def to_one(process: Forked, number: int) -> None:
    os.kill(process.pid, number)


def to_all(process: Forked, number: int) -> None:
    os.killpg(process.pid, number)


def begin(images: Path, run: Path, *extra: str) -> Forked:
    """Start a long run, and wait until it has taken a few steps."""
    process = Forked(words(images, run, *LONG, *extra), log=run.with_suffix(".log"))
    wait_until_begun(run, process)
    while not (run / "checkpoints" / "latest-000005").exists():
        assert process.poll() is None, run.with_suffix(".log").read_text()
        time.sleep(0.002)
    return process


@pytest.mark.parametrize(
    ("numbers", "send", "workers", "code"),
    [
        ([signal.SIGTERM], to_one, 0, 143),
        ([signal.SIGTERM], to_all, 2, 143),
        ([signal.SIGINT, signal.SIGINT], to_all, 2, 130),
    ],
    ids=["terminated", "all terminated", "interrupted twice"],
)
def test_a_signal_saves_leaves_and_is_gone_on_from(
    images: Path,
    tmp_path: Path,
    uninterrupted: dict[str, str],
    numbers: list[int],
    send: Callable[[Forked, int], None],
    workers: int,
    code: int,
) -> None:
    run, log = tmp_path / "run", tmp_path / "run.log"
    process = begin(images, run, f"runtime.num_workers={workers}")
    for number in numbers:
        send(process, number)
        time.sleep(0.01)
    assert process.wait(SECONDS) == code, log.read_text()
    assert "Traceback" not in log.read_text()
    assert f"stopped by {signal.Signals(numbers[0]).name} at epoch" in log.read_text()
    assert not processes_of(process.pid)
    assert not list(run.rglob(".tmp-*"))
    assert Forked(words(images, run, *LONG, "--resume")).wait() == 0
    assert fingerprint(run) == uninterrupted


def test_a_second_run_in_the_same_folder_is_refused(images: Path, tmp_path: Path) -> None:
    run, log = tmp_path / "run", tmp_path / "second.log"
    first = begin(images, run)
    assert Forked(words(images, run, *LONG, "--resume"), log=log).wait() == 2
    (line,) = log.read_text().splitlines()
    assert line.startswith(f"finegrain: {run} is in use: got process {first.pid} on ")
    first.kill()
    first.wait()


def test_a_full_disk_ends_the_run_with_one_line_and_does_no_harm(
    images: Path, tmp_path: Path, uninterrupted: dict[str, str]
) -> None:
    """The best model, written first, still fits; the state does not."""
    run, log = tmp_path / "run", tmp_path / "run.log"
    assert Forked(words(images, run, *LONG), log=log, file_bytes=3_000_000).wait() == 2
    last = log.read_text().splitlines()[-1]
    assert last.startswith("finegrain: ")
    assert "cannot be written" in last
    assert "File too large" in last
    assert "Traceback" not in log.read_text()
    assert not list(run.rglob(".tmp-*"))
    assert Forked(words(images, run, *LONG, "--resume")).wait() == 0
    assert fingerprint(run) == uninterrupted
