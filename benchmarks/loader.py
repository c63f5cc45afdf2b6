"""Images per CPU second from JPEG files to normalised batches, by this project and by torchvision's transforms.

    python benchmarks/loader.py            # about two minutes on a quiet core
    python benchmarks/loader.py --quick    # whether it runs; its figures say little

Every side gives the same JPEGs of 500 × 375 (drawn birds with sensor noise, quality 90, made in a temporary folder) as
float batches at 224 pixels: a random crop of 8 to 100 % of the area, a mirror image, brightness, contrast, saturation
changed by up to 40 %. torchvision's crop is antialiased; ours with and without. "cached" reads pixels that were decoded
before the measurement (`data.pixel_cache`). No worker processes, one thread an operation; each side lives in a process
of its own, and they take turns, an epoch each, after one of warm-up. A ratio is the median over rounds of what was
measured in the same round, by CPU seconds of all threads of the side. All run on one core, the first: on two, what one
thread hands to another moves between their caches, which costs CPU seconds of its own.
"""

import argparse
import os
import statistics
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path

from finegrain_loader import FinegrainLoader
from peers.torchvision_loader import TorchvisionLoader
from photographs import SIZE, write_photographs
from rounds import paired_ratios, rate, spread, take_turns
from side import Cost

LINEAR, ANTIALIASED = "finegrain, linear", "finegrain, antialiased"
CACHED_LINEAR, CACHED_ANTIALIASED = "finegrain, cached, linear", "finegrain, cached, antialiased"
PEER, TENSOR_PEER = "torchvision v1, Pillow", "torchvision v2, tensors"
GOALS = {LINEAR: 2.3, ANTIALIASED: 1.7, CACHED_LINEAR: 7.0, CACHED_ANTIALIASED: 4.0}
"""Times the images per CPU second of PEER."""
Loads = FinegrainLoader | TorchvisionLoader


def main(argv: Sequence[str] | None = None) -> None:
    """Measure all sides and print the table and the ratios."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="16 images, 2 rounds")
    parser.add_argument("--images", type=int, default=256, help="a round")
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--batch-size", type=int, default=32)
    options = parser.parse_args(argv)
    if options.quick:
        options.images, options.rounds, options.batch_size = 16, 2, 8
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "photographs"
        mean_bytes = write_photographs(root, train=options.images)
        print(_conditions(options, mean_bytes))
        built = sides(root, cache=Path(folder) / "cache", batch_size=options.batch_size)
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # the sides' processes inherit it
        rounds = take_turns(built, rounds=options.rounds, threads=1)
    print(table(rounds))
    for name, goal in GOALS.items():
        ratio = statistics.median(paired_ratios(rounds[name], rounds[PEER], cpu=True))
        print(f"loader_{_word(name)} ratio {ratio:.2f} goal {goal}")


def sides(root: Path, *, cache: Path, batch_size: int) -> dict[str, Callable[[], Loads]]:
    """What builds each side for the images of `root`."""
    ours = partial(FinegrainLoader, root=root, batch_size=batch_size)
    peer = partial(TorchvisionLoader, root=root, batch_size=batch_size)
    return {
        LINEAR: partial(ours, antialias=False),
        ANTIALIASED: partial(ours, antialias=True),
        CACHED_LINEAR: partial(ours, antialias=False, cache=cache),
        CACHED_ANTIALIASED: partial(ours, antialias=True, cache=cache),
        TENSOR_PEER: partial(peer, tensors=True),
        PEER: peer,
    }


def table(rounds: dict[str, list[Cost]]) -> str:
    """Medians with least and most: images per CPU second, and each side's ratio to the peer."""
    lines = [f"{'':<32}{'images/CPU-s':>30}{'peer’s, ×':>24}"]
    for name, costs in rounds.items():
        rates = spread([rate(cost, cpu=True) for cost in costs])
        ratios = "" if name == PEER else spread(paired_ratios(costs, rounds[PEER], cpu=True))
        lines.append(f"{name:<32}{rates:>30}{ratios:>24}")
    return "\n".join(lines)


def _word(name: str) -> str:
    return name.removeprefix("finegrain, ").replace(", ", "_")


def _conditions(options: argparse.Namespace, mean_bytes: float) -> str:
    packages = ("torch", "torchvision", "pillow", "albumentations", "simplejpeg", "opencv-python-headless")
    load = "/".join(f"{value:.1f}" for value in os.getloadavg())
    return (
        f"{os.cpu_count()} CPUs, load {load}, 1 thread, {', '.join(f'{name} {version(name)}' for name in packages)}\n"
        f"{options.images} JPEGs of {SIZE[0]}×{SIZE[1]}, {mean_bytes / 1000:.0f} kB on average; "
        f"{options.rounds} rounds, batch {options.batch_size}"
    )


if __name__ == "__main__":
    main()
