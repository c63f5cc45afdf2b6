"""One side of a comparison: it trains an epoch when asked and says what that took; run in a process of its own."""

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
    """What all sides train alike: `layer4` and `fc` of a ResNet with random weights at 224 pixels."""

    root: Path
    """Holds train/, val/ and test/."""
    model: str
    """timm's name."""
    num_classes: int
    batch_size: int
    threads: int
    """Of one torch operation."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """What training on `images` images took."""

    images: int
    wall_seconds: float
    cpu_seconds: float
    """Of the process and its workers."""


class Side(Protocol):
    """Trains a model that lives as long as the side."""

    def epoch(self) -> Cost:
        """Train one epoch, loading included."""
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

    def __init__(self, build: Callable[[Job], Side], job: Job) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        # Not a daemon: loaders start workers of their own.
        self._process = context.Process(target=_serve, args=(theirs, build, job))

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
        """Train one epoch there, while this process waits."""
        self._pipe.send(True)
        while not self._pipe.poll(1.0):
            if not self._process.is_alive():
                raise RuntimeError(f"a side ended with exit code {self._process.exitcode}; its error stands above")
        cost: Cost = self._pipe.recv()
        return cost


def _serve(pipe: Connection, build: Callable[[Job], Side], job: Job) -> None:
    torch.set_num_threads(job.threads)
    side = build(job)
    while pipe.recv():
        pipe.send(side.epoch())


def _cpu_seconds() -> float:
    process = psutil.Process()
    times = [one.cpu_times() for one in (process, *process.children(recursive=True))]
    return sum(one.user + one.system for one in times)
