"""A training step from cached activations against the frozen part run at every step, and against fp32 from end to end.

    python benchmarks/boundary.py            # about 10 minutes on a quiet core, 8 GB of memory
    python benchmarks/boundary.py --quick    # whether it runs; its figures say little

ResNet-50 with `layer4` and `fc` trained, ViT-B/16 with the last block's attention and the head; random weights, 224
pixels. Ours is the project's trainer with its default precision, on rows that `cached_feeds` stored on disk, reading
them included, computing them not: that is one forward pass an image and view. "every step" is the same trainer on
images in memory. The plain loops are torch in fp32 with contiguous tensors: everything trained, and the frozen part
with `requires_grad=False`. One thread; each side lives in a process of its own, and they take turns, after a warm-up;
a ratio is the median over rounds of what was measured in the same round, by CPU seconds. Goals hold with AMX.
"""

import argparse
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from figures import conditions, verdict
from finegrain_steps import FinegrainSteps, Trained
from peers.plain_steps import PlainSteps
from rounds import paired_ratios, rate, spread, take_turns
from side import Cost

OURS, EVERY_STEP = "finegrain, cached", "finegrain, every step"
FULL, FROZEN = "plain fp32, all trained", "plain fp32, frozen part"
Steps = FinegrainSteps | PlainSteps


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """What is trained, and how many times faster than each side."""

    model: str
    trained: Trained
    names: tuple[str, ...]
    """Beginnings of the names of what is trained."""
    goals: dict[str, float]


TASKS = (
    Task(
        model="resnet50",
        trained="last block",
        names=("layer4.", "fc."),
        goals={EVERY_STEP: 1.8, FULL: 12.0},
    ),
    Task(
        model="vit_base_patch16_224",
        trained="last attention",
        names=("blocks.11.attn.", "head."),
        goals={EVERY_STEP: 5.0, FULL: 35.0},
    ),
)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure both networks and print the tables and the ratios."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="4 images, 1 round, ResNet-50 alone")
    parser.add_argument("--models", nargs="+", choices=[task.model for task in TASKS])
    parser.add_argument("--images", type=int, default=32, help="a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=32)
    options = parser.parse_args(argv)
    if options.quick:
        options.models, options.images, options.rounds, options.batch_size = ["resnet50"], 4, 1, 4
    print(conditions(options))
    verdicts = []
    for task in TASKS:
        if options.models and task.model not in options.models:
            continue
        built = sides(task, count=options.images, batch_size=options.batch_size)
        rounds = take_turns(built, rounds=options.rounds, threads=1)
        print(table(task, rounds), flush=True)
        for name, slug in ((EVERY_STEP, "every_step"), (FULL, "all_trained_fp32"), (FROZEN, "frozen_part_fp32")):
            ratio = statistics.median(paired_ratios(rounds[OURS], rounds[name], cpu=True))
            verdicts.append(verdict(f"boundary_{task.model}_{slug}", ratio, task.goals.get(name)))
    print("\n".join(verdicts))


def sides(task: Task, *, count: int, batch_size: int, image_size: int = 224) -> dict[str, Callable[[], Steps]]:
    """What builds each side."""
    ours = partial(
        FinegrainSteps,
        model=task.model,
        trained=task.trained,
        count=count,
        batch_size=batch_size,
        image_size=image_size,
    )
    plain = partial(PlainSteps, model=task.model, count=count, batch_size=batch_size, image_size=image_size)
    return {
        OURS: partial(ours, cached=True),
        EVERY_STEP: partial(ours, cached=False),
        FULL: partial(plain, trained=("",)),
        FROZEN: partial(plain, trained=task.names),
    }


def table(task: Task, rounds: dict[str, list[Cost]]) -> str:
    """Medians with least and most: images per second, and how many times fewer ours takes."""
    lines = [f"{task.model:<28}{'images/CPU-s':>26}{'images/s':>26}{'ours, ×':>26}"]
    for name, costs in rounds.items():
        rates = [spread([rate(cost, cpu=cpu) for cost in costs]) for cpu in (True, False)]
        ratios = "" if name == OURS else spread(paired_ratios(rounds[OURS], costs, cpu=True))
        lines.append(f"  {name:<26}{rates[0]:>26}{rates[1]:>26}{ratios:>26}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
