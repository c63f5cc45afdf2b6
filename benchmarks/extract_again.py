"""What the feature cache saves the second time, and how extraction's memory depends on the number of images.

    python benchmarks/extract_again.py            # about 5 minutes on a quiet core
    python benchmarks/extract_again.py --quick    # whether it runs; its figures say little

again: `extract` of ResNet-50 features of JPEGs (drawn birds with sensor noise, 500 × 375), with an empty cache on disk
and then with what it left, reading all features included. The first run decodes, compares bf16 with fp32 on 16 images,
and does not compile; the second hashes the weights and the files, which is all that it does: no module may run. Wall
time, one thread; each round starts with an empty cache. The ratio grows with the number of images.

memory: `extract` of few and of many images of a tiny network into a cache on disk, each in a fresh process; the images
are made when they are read. Peak memory (VmHWM, so on Linux alone) is of the whole process; how much of it came above
what lay there before extraction is shown beside it.
"""

import argparse
import re
import statistics
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import torch
from figures import conditions, verdict
from memory_images import NumberedImages, samples
from networks import CLASSES, classifier
from photographs import write_photographs
from rounds import spread
from torch import nn
from torch.nn.modules.module import register_module_forward_pre_hook

from finegrain.data.base import Table
from finegrain.data.folder import ImageFolder
from finegrain.features.cache import FeatureCache
from finegrain.features.extract import extract
from finegrain.models.classifier import Classifier
from finegrain.runtime import Runtime, RuntimeConfig

AGAIN_GOAL = 100.0
FEW, MANY = 100, 10_000
_TINY, _TINY_SIZE = "test_resnet", 32


@dataclass(frozen=True, kw_only=True, slots=True)
class Again:
    """The first and the second extraction of the same features."""

    first_seconds: float
    second_seconds: float
    forwards: int
    """Modules that ran in the second."""

    @property
    def ratio(self) -> float:
        """How many times faster the second is."""
        return self.first_seconds / self.second_seconds


@dataclass(frozen=True, kw_only=True, slots=True)
class Memory:
    """Of one process, in bytes."""

    before: int
    """Peak when the network was ready."""
    peak: int


def main(argv: Sequence[str] | None = None) -> None:
    """Measure both and print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="16 images of a tiny network, 1 round; 100 and 400 images")
    parser.add_argument("--model", default="resnet50", help="timm's name")
    parser.add_argument("--images", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--many", type=int, default=MANY, help=f"images whose memory is compared with that of {FEW}")
    options = parser.parse_args(argv)
    options.batch_size = 16
    if options.quick:
        options.model, options.images, options.rounds, options.many = _TINY, 16, 1, 400
    print(conditions(options))
    torch.set_num_threads(1)
    few, many = (in_fresh_process(count) for count in (FEW, options.many))
    rounds = measure_again(options.model, count=options.images, rounds=options.rounds)
    for count, memory in ((FEW, few), (options.many, many)):
        above = (memory.peak - memory.before) / 2**20
        print(f"memory {count:>7,} images: peak {memory.peak / 2**20:.1f} MiB, {above:.1f} above the start")
    first, second = spread([r.first_seconds for r in rounds]), spread([r.second_seconds for r in rounds])
    print(f"again: first {first} s, second {second} s")
    print(f"again: {max(r.forwards for r in rounds)} modules ran the second time, goal 0")
    print(f"extract_memory ratio {many.peak / few.peak:.3f} goal 1 ± 0.05")
    print(verdict("extract_again", statistics.median(r.ratio for r in rounds), AGAIN_GOAL, needs_amx=False))


def measure_again(model: str, *, count: int, rounds: int, image_size: int = 224) -> list[Again]:
    """Both extractions, `rounds` times."""
    built, runtime = classifier(model, image_size=image_size), RuntimeConfig(device="cpu", compile="never").build()
    with tempfile.TemporaryDirectory() as folder:
        write_photographs(Path(folder) / "photographs", train=count)
        table = ImageFolder(root=str(Path(folder) / "photographs")).table()
        return [again(built, table, Path(folder) / f"cache {number}", runtime=runtime) for number in range(rounds)]


def again(built: Classifier, table: Table, folder: Path, *, runtime: Runtime) -> Again:
    """Extract into an empty folder, and once more."""
    first, _ = _timed(built, table, folder, runtime=runtime)
    second, forwards = _timed(built, table, folder, runtime=runtime)
    return Again(first_seconds=first, second_seconds=second, forwards=forwards)


def _timed(built: Classifier, table: Table, folder: Path, *, runtime: Runtime) -> tuple[float, int]:
    """Wall seconds, and how many modules ran."""
    ran: list[nn.Module] = []
    hook = register_module_forward_pre_hook(lambda module, _: ran.append(module))
    started = time.perf_counter()
    try:
        found = extract(
            table.samples, source=table.source, classifier=built, runtime=runtime, cache=FeatureCache(folder)
        )
        assert len(found.values) == len(table.samples)
    finally:
        hook.remove()
    return time.perf_counter() - started, len(ran)


def in_fresh_process(count: int) -> Memory:
    """The memory of extracting from `count` images."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(extract_numbered, count).result()


def extract_numbered(count: int) -> Memory:
    """Extract from images that are made when they are read."""
    torch.set_num_threads(1)
    runtime = RuntimeConfig(device="cpu", compile="never").build()
    built = classifier(_TINY, image_size=_TINY_SIZE)
    before = _peak_bytes()
    with tempfile.TemporaryDirectory() as folder:
        extract(
            samples(count, classes=CLASSES),
            source=NumberedImages(_TINY_SIZE),
            classifier=built,
            runtime=runtime,
            cache=FeatureCache(Path(folder)),
        )
        return Memory(before=before, peak=_peak_bytes())


def _peak_bytes() -> int:
    """Of this process since it began; getrusage's also knows the process that started it."""
    found = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"))
    assert found is not None
    return int(found[1]) * 1024


if __name__ == "__main__":
    main()
