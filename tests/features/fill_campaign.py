"""Let processes fill one cache, kill half of them, and compare what is stored with what one process computes.

    PYTHONPATH=. python tests/features/fill_campaign.py --trials 100

The exit code is 0 if no file was corrupt, no row differed and every process that was not killed did its work.
"""

import argparse
import logging
import multiprocessing
import random
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from feature_set import classifier, images, runtime

from finegrain.features import shelf
from finegrain.features.cache import FeatureCache
from finegrain.features.extract import Features, extract

IMAGES = 16
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["main", "finegrain.recipe", "finegrain.features.extract", "tiny_recipe", "pytest"])


@dataclass(kw_only=True, slots=True)
class Result:
    """What the trials showed."""

    kills: int = 0
    """Processes that a kill hit alive."""
    failed: int = 0
    """Processes that nobody killed and that did not end well within a minute."""
    corrupt: int = 0
    """Files that a later process refused."""
    different: int = 0
    """Networks whose features are not those that a single process computes."""


class Refusals(logging.Handler):
    """Counts the files that are found damaged."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.count += "is damaged" in record.getMessage()


def fill_small(folder: Path, cache: Path, variant: int) -> None:
    """Fill in a process of its own, file by small file."""
    torch.set_num_threads(1)
    shelf._ROWS = 2
    fill(folder, cache, variant)


def fill(folder: Path, cache: Path, variant: int) -> Features:
    """Compute the features of every image by one of two networks."""
    samples, source = images(folder, IMAGES, draw=False)
    model = classifier()
    model.network.bn1.running_mean += variant
    return extract(samples, source=source, classifier=model, runtime=runtime(), cache=FeatureCache(cache), batch_size=2)


def campaign(folder: Path, *, trials: int, processes: int, seed: int) -> Result:
    """Fill `trials` caches by `processes` processes each, half of which are killed; every other trial has two keys."""
    draw, result, refusals = random.Random(seed), Result(), Refusals()
    images(folder / "set", IMAGES)
    began = time.monotonic()
    expected = [fill(folder / "set", folder / "expected", variant).values for variant in (0, 1)]
    seconds = (time.monotonic() - began) / 2
    shelf.logger.addHandler(refusals)
    try:
        for trial in range(trials):
            cache, variants = folder / f"cache{trial}", trial % 2 + 1
            carry_out(result, draw, folder / "set", cache, variants, processes, seconds)
            for variant in range(variants):
                found = fill(folder / "set", cache, variant).values
                result.different += not torch.equal(found, expected[variant])
    finally:
        shelf.logger.removeHandler(refusals)
    result.corrupt = refusals.count
    return result


def carry_out(
    result: Result, draw: random.Random, folder: Path, cache: Path, variants: int, processes: int, seconds: float
) -> None:
    """Start the processes, kill half of them while the cache is filled, and wait for the others."""
    started = [
        _CONTEXT.Process(target=fill_small, args=(folder, cache, number % variants)) for number in range(processes)
    ]
    for process in started:
        process.start()
    deadline = time.monotonic() + 60
    while not any(cache.glob("*/lock")) and time.monotonic() < deadline:
        time.sleep(0.002)
    victims = draw.sample(started, processes // 2)
    for victim in victims:
        time.sleep(draw.uniform(0, seconds / len(victims)))
        result.kills += victim.is_alive()
        victim.kill()
    for process in started:
        process.join(max(0.0, deadline - time.monotonic()))
        if process not in victims:
            result.failed += process.exitcode != 0
        process.kill()


def main() -> int:
    """Run the campaign and print its result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--processes", type=int, default=8)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = campaign(Path(folder), trials=arguments.trials, processes=arguments.processes, seed=0)
    print(f"{arguments.trials} trials of {arguments.processes} processes: {result}")
    return int(result.failed + result.corrupt + result.different > 0)


if __name__ == "__main__":
    sys.exit(main())
