"""Images per second of training a conditional GAN, and of sampling from it, beside PyTorch's DCGAN example.

    python benchmarks/gan.py            # about 5 minutes on a quiet core
    python benchmarks/gan.py --quick    # whether it runs; its figures say little

The same networks on both sides: width 64, 16 classes, class-conditional batch norm, projection discriminator with
spectral norm; the generator's stages are the project's (nearest neighbours and a 3 × 3 convolution) or DCGAN's
transposed ones. Hinge loss, one step of each network a batch, an average of the generator's weights, images in
memory. The plain loop is the example's: fp32, contiguous tensors, real and generated images judged one after the
other, one batch of generated images for both networks' steps, gradients for the discriminator in the generator's step
too, losses read at each step, Adam as it comes. Ours is the project's trainer with its default precision, without
augmentation. Sampling: `Generator.sample`, where each image is a function of its seed, against forward passes in eval
mode. One thread; each side lives in a process of its own, and they take turns, after a warm-up; a ratio is the median
over rounds of what was measured in the same round, by CPU seconds, on CUDA by wall time. Goals for DCGAN's stages
hold with AMX: they are all products of matrices.
"""

import argparse
import statistics
from collections.abc import Callable, Sequence
from functools import partial

from figures import conditions, verdict
from finegrain_gan import FinegrainGan, FinegrainSamples
from gan_networks import GanJob
from peers.plain_gan import PlainGan, PlainSamples
from rounds import paired_ratios, rate, spread, take_turns
from side import Side

STYLES = ("upsample", "transposed")
GOALS = {32: 2.0, 64: 2.4}
SIDES: dict[str, tuple[Callable[[GanJob], Side], Callable[[GanJob], Side]]] = {
    "train": (FinegrainGan, PlainGan),
    "sample": (FinegrainSamples, PlainSamples),
}


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print the rates and the ratios."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="8 images, 2 rounds, 32 pixels alone")
    parser.add_argument("--sizes", nargs="+", type=int, choices=GOALS, default=list(GOALS))
    parser.add_argument("--styles", nargs="+", choices=STYLES, default=list(STYLES))
    parser.add_argument("--images", type=int, default=128, help="a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    options = parser.parse_args(argv)
    if options.quick:
        options.sizes, options.images, options.rounds, options.batch_size = [32], 8, 2, 4
    print(conditions(options))
    verdicts = []
    for size in options.sizes:
        for style in options.styles:
            job = GanJob(
                image_size=size,
                style=style,
                images=options.images,
                batch_size=options.batch_size,
                device=options.device,
            )
            for what in SIDES:
                ratio = measure(what, job, rounds=options.rounds)
                goal = GOALS[size] if what == "train" else None
                name, needs_amx = f"gan_{what}_{size}_{style}", style == "transposed" and options.device == "cpu"
                verdicts.append(verdict(name, ratio, goal, needs_amx=needs_amx))
    print("\n".join(verdicts))


def measure(what: str, job: GanJob, *, rounds: int) -> float:
    """How many times faster ours is; print the rates."""
    sides = dict(zip(("finegrain", "plain fp32"), SIDES[what], strict=True))
    costs = take_turns({name: partial(build, job) for name, build in sides.items()}, rounds=rounds, threads=1)
    for name, found in costs.items():
        rates = [spread([rate(cost, cpu=cpu) for cost in found]) for cpu in (True, False)]
        title = f"{what} {job.image_size} px, {job.style}, {name}"
        print(f"{title:<44}{rates[0]:>26} images/CPU-s{rates[1]:>26} images/s", flush=True)
    return statistics.median(paired_ratios(*costs.values(), cpu=job.device == "cpu"))


if __name__ == "__main__":
    main()
