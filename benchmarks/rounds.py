"""Sides that take turns, an epoch each, and what is read off their rounds."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack

from side import Cost, Side, SideProcess


def take_turns(sides: Mapping[str, Callable[[], Side]], *, rounds: int, threads: int) -> dict[str, list[Cost]]:
    """Each side's cost of every round, after one epoch of warm-up; who goes first changes from round to round."""
    with ExitStack() as stack:
        running = {name: stack.enter_context(SideProcess(build, threads=threads)) for name, build in sides.items()}
        for side in running.values():
            side.epoch()
        costs: dict[str, list[Cost]] = {name: [] for name in running}
        for number in range(rounds):
            for name in list(running)[:: 1 if number % 2 else -1]:
                costs[name].append(running[name].epoch())
    return costs


def paired_ratios(ours: Sequence[Cost], peer: Sequence[Cost], *, cpu: bool = False) -> list[float]:
    """How many times faster we are, round by round; by CPU seconds instead of wall time when `cpu`."""
    return [rate(mine, cpu=cpu) / rate(theirs, cpu=cpu) for mine, theirs in zip(ours, peer, strict=True)]


def rate(cost: Cost, *, cpu: bool = False) -> float:
    """Images per second, or per CPU second."""
    return cost.images / (cost.cpu_seconds if cpu else cost.wall_seconds)


def spread(values: Sequence[float]) -> str:
    """The median with least and most."""
    return f"{statistics.median(values):.2f} ({min(values):.2f}–{max(values):.2f})"
