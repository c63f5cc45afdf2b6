"""A linear head on a frozen backbone: features computed once against the backbone in every epoch.

    python benchmarks/frozen_epochs.py            # about 10 minutes on a quiet core
    python benchmarks/frozen_epochs.py --quick    # whether it runs; its figures say little

ResNet-50, random weights, 224 pixels, bf16 where it is native, images drawn from numbers and resized as in evaluation.
Ours is what a run does: hash the images, compare bf16 with fp32 on 8 of them, extract, store, then train E epochs of
the project's trainer on the rows. The peer is a plain loop that loads the same images by the same loader and runs the
same fast backbone in every epoch. One thread, CPU seconds; the two take turns. Validation, which the peer lacks, is not
counted. The ratio grows as E, short of it by what is done once (of the order of 200 images' features) over the
number of images, and by E times what a step of the head costs: say the images and E beside every ratio. The peer's time
is measured for the epochs of `--measured`, and beyond them extrapolated from its own seconds an epoch.
"""

import argparse
import statistics
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from course import CourseCost
from figures import conditions, verdict
from finegrain_head import FinegrainHead
from peers.plain_head import PlainHead
from rounds import spread, take_turns

EPOCHS = (1, 5, 15, 45)
GOAL = 0.9
"""Of E."""
OURS, PEER = "finegrain", "backbone in every epoch"


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print the table and the ratios."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="16 images, 1 round, a tiny network")
    parser.add_argument("--model", default="resnet50", help="timm's name")
    parser.add_argument("--images", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument(
        "--measured", type=int, default=1, help="epochs of the peer that are measured, not extrapolated"
    )
    options = parser.parse_args(argv)
    if options.quick:
        options.images, options.rounds, options.batch_size, options.model = 16, 1, 8, "test_resnet"
    print(conditions(options))
    built = sides(options.model, count=options.images, batch_size=options.batch_size, measured=options.measured)
    rounds = take_turns(built, rounds=options.rounds, threads=1)
    courses = {name: [cost for cost in costs if isinstance(cost, CourseCost)] for name, costs in rounds.items()}
    print(table(courses, measured=options.measured))
    for epochs in EPOCHS:
        ratio = statistics.median(ratios(courses, epochs))
        note = "" if epochs <= options.measured else f" (the peer's {epochs} epochs are extrapolated)"
        print(verdict(f"frozen_epochs_{epochs}", ratio, GOAL * epochs if epochs >= 5 else None, needs_amx=False) + note)


def sides(
    model: str, *, count: int, batch_size: int, measured: int, image_size: int = 224
) -> dict[str, Callable[[], FinegrainHead | PlainHead]]:
    """What builds each side; `measured` are the peer's epochs."""
    size = {"count": count, "batch_size": batch_size, "image_size": image_size}
    return {
        OURS: partial(FinegrainHead, model=model, epochs=max(EPOCHS), **size),
        PEER: partial(PlainHead, model=model, epochs=measured, **size),
    }


def ratios(courses: Mapping[str, Sequence[CourseCost]], epochs: int) -> list[float]:
    """How many times fewer CPU seconds we take for so many epochs, round by round."""
    pairs = zip(courses[OURS], courses[PEER], strict=True)
    return [theirs.seconds(epochs) / mine.seconds(epochs) for mine, theirs in pairs]


def table(courses: Mapping[str, Sequence[CourseCost]], *, measured: int) -> str:
    """Medians with least and most: CPU seconds of both sides, and their ratio, by epochs."""
    lines = [f"{'epochs':<10}{OURS + ', CPU-s':>28}{PEER + ', CPU-s':>36}{'fewer, ×':>24}{'of E':>10}"]
    for epochs in EPOCHS:
        ours, peer = (spread([course.seconds(epochs) for course in courses[name]]) for name in (OURS, PEER))
        found = ratios(courses, epochs)
        mark = "" if epochs <= measured else " *"
        share = statistics.median(found) / epochs
        lines.append(f"{epochs:<10}{ours:>28}{peer + mark:>36}{spread(found):>24}{share:>10.2f}")
    return "\n".join([*lines, "* extrapolated"])


if __name__ == "__main__":
    main()
