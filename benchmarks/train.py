"""Images per second of one fine-tune, by this project and by timm's own pipeline with its default flags.

    python benchmarks/train.py            # about 10 minutes on 2 quiet cores
    python benchmarks/train.py --quick    # whether it runs; its figures say little

`layer4` and `fc` of ResNet-18 and ResNet-50, random weights, 224 pixels, JPEGs of 500 × 375 (drawn birds with sensor
noise, quality 90, made in a temporary folder); decoding, augmentation, forward, backward and update are measured.
Each side lives in a process of its own, and the sides take turns, an epoch each, so that a busy moment hits them all;
every ratio is the median over rounds of what was measured in the same round. CPU seconds count loader workers too.
"""

import argparse
import os
import statistics
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path

import torch
from finegrain_side import FinegrainSide
from peers.timm_side import TimmSide, tuned
from photographs import CLASSES, SIZE, write_photographs
from rounds import paired_ratios, rate, spread, take_turns
from side import Cost, Job, Side

GOAL = 2.5
MODELS = ("resnet18", "resnet50")
OURS, PEER, TUNED_PEER = "finegrain", "timm, defaults", "timm, channels-last amp bf16"
SIDES: dict[str, Callable[[Job], Side]] = {OURS: FinegrainSide, PEER: TimmSide, TUNED_PEER: tuned}


def main(argv: Sequence[str] | None = None) -> None:
    """Measure both models and print the table and the ratios."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="16 images, 2 rounds")
    parser.add_argument("--images", type=int, default=128, help="a round; a multiple of the batch size")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of one torch operation")
    options = parser.parse_args(argv)
    if options.quick:
        options.images, options.rounds, options.batch_size = 16, 2, 8
    if options.images % options.batch_size:
        parser.error("--images must be a multiple of --batch-size: timm drops the rest")
    with tempfile.TemporaryDirectory() as folder:
        mean_bytes = write_photographs(Path(folder), train=options.images)
        print(_conditions(options, mean_bytes))
        ratios = {}
        for model in MODELS:
            job = Job(
                root=Path(folder),
                model=model,
                num_classes=CLASSES,
                batch_size=options.batch_size,
                threads=options.threads,
            )
            rounds = measure(job, rounds=options.rounds)
            print(table(model, rounds))
            ratios[model] = statistics.median(paired_ratios(rounds[OURS], rounds[PEER]))
    for model, ratio in ratios.items():
        print(f"train_{model} ratio {ratio:.2f} goal {GOAL}")


def measure(job: Job, *, rounds: int) -> dict[str, list[Cost]]:
    """Each side's cost of every round."""
    return take_turns({name: partial(build, job) for name, build in SIDES.items()}, rounds=rounds, threads=job.threads)


def table(model: str, rounds: dict[str, list[Cost]]) -> str:
    """Medians with least and most: images per second, images per CPU second, and our ratio to each side in both."""
    lines = [f"{model:<30}{'images/s':>22}{'images/CPU-s':>22}{'ours, ×':>20}{'by CPU, ×':>20}"]
    for name, costs in rounds.items():
        columns = [spread([rate(cost, cpu=cpu) for cost in costs]) for cpu in (False, True)]
        ratios = [spread(paired_ratios(rounds[OURS], costs, cpu=cpu)) for cpu in (False, True)]
        shown = ratios if name != OURS else ["", ""]
        lines.append(f"  {name:<28}" + "".join(f"{c:>22}" for c in columns) + "".join(f"{r:>20}" for r in shown))
    return "\n".join(lines)


def _conditions(options: argparse.Namespace, mean_bytes: float) -> str:
    libraries = ", ".join(f"{name} {version(name)}" for name in ("torch", "timm", "albumentations"))
    load = "/".join(f"{value:.1f}" for value in os.getloadavg())
    return (
        f"{os.cpu_count()} CPUs, load {load}, {options.threads} threads, {libraries}\n"
        f"{options.images} JPEGs of {SIZE[0]}×{SIZE[1]}, {mean_bytes / 1000:.0f} kB on average; "
        f"{options.rounds} rounds, batch {options.batch_size}"
    )


if __name__ == "__main__":
    main()
