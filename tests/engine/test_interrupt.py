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

LONG = ("train.epochs=40", "train.save_steps=1")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_images(tmp_path_factory.mktemp("data") / "images")


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


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(
    ("numbers", "send", "code"),
    [
        ([signal.SIGTERM], to_one, 143),
        ([signal.SIGTERM], to_all, 143),
        ([signal.SIGINT], to_all, 130),
        ([signal.SIGINT, signal.SIGINT], to_all, 130),
        ([signal.SIGTERM, signal.SIGTERM], to_one, 143),
    ],
)
def test_a_signal_saves_and_leaves(
    images: Path, tmp_path: Path, workers: int, numbers: list[int], send: Callable[[Forked, int], None], code: int
) -> None:
    run = tmp_path / "run"
    process = begin(images, run, f"runtime.num_workers={workers}")
    for number in numbers:
        send(process, number)
        time.sleep(0.005)
    asked = time.monotonic()
    said = run.with_suffix(".log")
    assert process.wait() == code, said.read_text()
    assert time.monotonic() - asked < 10
    assert "Traceback" not in said.read_text()
    assert f"stopped by {signal.Signals(numbers[0]).name} at epoch" in said.read_text()
    assert not processes_of(process.pid)
    assert not list(run.rglob(".tmp-*"))
