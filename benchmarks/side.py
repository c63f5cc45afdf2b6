"""One side of a comparison: it goes through an epoch when asked and says what that took, in a process of its own."""

import multiprocessing
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import psutil
import torch


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """What all sides train alike: part of a network with random weights at 224 pixels."""

    root: Path
    """Holds train/, val/ and test/."""
    model: str
    """timm's name."""
    trained: tuple[str, ...]
    """Beginnings of the names of the trained parameters, the head's last."""
    num_classes: int
    batch_size: int
    threads: int
    """Of one torch operation."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """What an epoch of `images` images took."""

    images: int
    wall_seconds: float
    cpu_seconds: float
    """Of the process and its workers."""


class Side(Protocol):
    """What is measured; it lives through all rounds."""

    def epoch(self) -> Cost:
        """Go through one epoch more."""
        ...


class Meter:
    """Counts wall and CPU seconds from its making on."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), _cpu_seconds()

    def read(self, images: int) -> Cost:
        """What was spent so far."""
        return Cost(
            images=images, wall_seconds=time.perf_counter() - self._wall, cpu_seconds=_cpu_seconds() - self._cpu
        )


class SideProcess:
    """A side in a fresh process, so that neither the allocator nor the threads of one side touch another."""

    def __init__(self, build: Callable[[], Side], *, threads: int) -> None:
        """Build it there, where one torch operation has `threads` threads."""
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        # Not a daemon: loaders start workers of their own.
        self._process = context.Process(target=_serve, args=(theirs, build, threads))

    def __enter__(self) -> Self:
        """Start the process."""
        self._process.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it."""
        if self._process.is_alive():
            self._pipe.send(False)
        self._process.join()

    def epoch(self) -> Cost:
        """Go through one epoch there, while this process waits."""
        self._pipe.send(True)
        while not self._pipe.poll(1.0):
            if not self._process.is_alive():
                raise RuntimeError(f"a side ended with exit code {self._process.exitcode}; its error stands above")
        cost: Cost = self._pipe.recv()
        return cost


def _serve(pipe: Connection, build: Callable[[], Side], threads: int) -> None:
    torch.set_num_threads(threads)
    side = build()
    while pipe.recv():
        pipe.send(side.epoch())


def _cpu_seconds() -> float:
    """Of this process to the microsecond, of its workers to the system's tick, a hundredth of a second."""
    workers = [worker.cpu_times() for worker in psutil.Process().children(recursive=True)]
    return time.process_time() + sum(worker.user + worker.system for worker in workers)
