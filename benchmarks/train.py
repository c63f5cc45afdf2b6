"""Images per second of fine-tuning, by this project, by timm's own pipeline, and by a plain loop.

    python benchmarks/train.py            # about 30 minutes on 2 quiet cores
    python benchmarks/train.py --quick    # whether it runs; its figures say little

`layer4` and `fc` of ResNet-18 and ResNet-50, all of ResNet-50, the last attention and head of ViT-S/16; random weights,
224 pixels, JPEGs of 500 × 375 (drawn birds with sensor noise, quality 90, made in a temporary folder); decoding,
augmentation, forward, backward and update are measured.
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
from peers.plain_side import PlainSide
from peers.timm_side import TimmSide, tuned
from photographs import CLASSES, SIZE, write_photographs
from rounds import paired_ratios, rate, spread, take_turns
from side import Cost, Job, Side

LAST_BLOCK, EVERYTHING, LAST_ATTENTION = ("layer4.", "fc."), ("",), ("blocks.11.attn.", "head.")
FINE_TUNES = {
    "resnet18_last_block": ("resnet18", LAST_BLOCK),
    "resnet50_last_block": ("resnet50", LAST_BLOCK),
    "resnet50_full": ("resnet50", EVERYTHING),
    "vit_s_last_attention": ("vit_small_patch16_224", LAST_ATTENTION),
}
OURS, PEER, TUNED_PEER, PLAIN = "finegrain", "timm, defaults", "timm, channels-last amp bf16", "plain PIL loop, fp32"
SIDES: dict[str, Callable[[Job], Side]] = {OURS: FinegrainSide, PEER: TimmSide, TUNED_PEER: tuned, PLAIN: PlainSide}
GOALS = {PEER: 2.5, TUNED_PEER: 1.1}


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print the tables and the ratios."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="16 images, 2 rounds")
    parser.add_argument("--images", type=int, default=128, help="a round; a multiple of the batch size")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of one torch operation")
    parser.add_argument("--only", nargs="*", choices=FINE_TUNES, help="instead of all")
    options = parser.parse_args(argv)
    if options.quick:
        options.images, options.rounds, options.batch_size = 16, 2, 8
    if options.images % options.batch_size:
        parser.error("--images must be a multiple of --batch-size: timm drops the rest")
    with tempfile.TemporaryDirectory() as folder:
        mean_bytes = write_photographs(Path(folder), train=options.images)
        print(_conditions(options, mean_bytes))
        for name in options.only or FINE_TUNES:
            model, trained = FINE_TUNES[name]
            job = Job(
                root=Path(folder),
                model=model,
                trained=trained,
                num_classes=CLASSES,
                batch_size=options.batch_size,
                threads=options.threads,
            )
            rounds = measure(job, rounds=options.rounds)
            print(table(name, rounds))
            for peer, goal in GOALS.items():
                ratio = statistics.median(paired_ratios(rounds[OURS], rounds[peer], cpu=True))
                print(f"train_{name} against {peer}, by CPU: ratio {ratio:.2f} goal {goal}", flush=True)


def measure(job: Job, *, rounds: int) -> dict[str, list[Cost]]:
    """Each side's cost of every round."""
    return take_turns({name: partial(build, job) for name, build in SIDES.items()}, rounds=rounds, threads=job.threads)


def table(title: str, rounds: dict[str, list[Cost]]) -> str:
    """Medians with least and most: images per second, images per CPU second, and our ratio to each side in both."""
    lines = [f"{title:<30}{'images/s':>22}{'images/CPU-s':>22}{'ours, ×':>20}{'by CPU, ×':>20}"]
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
