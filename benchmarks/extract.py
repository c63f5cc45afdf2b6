"""Images per second of feature extraction by this project and by timm in fp32, one thread, images in memory.

    python benchmarks/extract.py            # about 6 minutes on a quiet core
    python benchmarks/extract.py --quick    # whether it runs; its figures say little

Five networks at 224 pixels, random weights with the BatchNorm statistics of their own activations. Ours is what
`extract` runs for each batch where there are enough images to compile for; "eager" is the same where there are not.
timm's is its network without a head in inference mode, fp32, contiguous tensors. Each side lives in a process of its
own and allocates memory as its program does, ours with what `RuntimeConfig.build` sets. They take turns, after a
warm-up; a ratio is the median over rounds of what was measured in the same round, by CPU seconds. The limit is a bf16
product of two 4096 × 4096 matrices, measured after each of our epochs in the same process; operations are counted, not
measured. Goals hold where the processor has AMX. benchmarks/extract_again.py measures the cache and the memory.
"""

import argparse
import statistics
from collections.abc import Sequence
from functools import partial

from figures import conditions, verdict
from finegrain_features import FeaturesCost, FinegrainFeatures
from peers.timm_features import TimmFeatures
from rounds import paired_ratios, rate, spread, take_turns
from side import Cost

GOALS = {
    "resnet18": None,
    "resnet50": 7.0,
    "vit_small_patch16_224": None,
    "vit_base_patch16_224": 4.2,
    "mobilenetv2_100": 1.8,
}
"""Times timm's images per CPU second."""
SHARE_OF, SHARE_GOAL = "resnet50", 0.8
OURS, EAGER, PEER = "finegrain, compiled", "finegrain, eager", "timm, fp32"
Rounds = dict[str, list[Cost]]


def main(argv: Sequence[str] | None = None) -> None:
    """Measure all networks and print the tables and the ratios."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="8 images, 2 rounds, ResNet-18 alone")
    parser.add_argument("--models", nargs="+", choices=GOALS, default=list(GOALS))
    parser.add_argument("--images", type=int, default=64, help="a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=16)
    options = parser.parse_args(argv)
    if options.quick:
        options.models, options.images, options.rounds, options.batch_size = ["resnet18"], 8, 2, 8
    if options.images % options.batch_size:
        parser.error("--images must be a multiple of --batch-size: another size would be compiled again")
    print(conditions(options))
    verdicts = []
    for model in options.models:
        rounds = measure(model, count=options.images, batch_size=options.batch_size, rounds=options.rounds)
        print(table(model, rounds), flush=True)
        ratio = statistics.median(paired_ratios(rounds[OURS], rounds[PEER], cpu=True))
        verdicts.append(verdict(f"extract_{model}", ratio, GOALS[model]))
        if model == SHARE_OF:
            share = statistics.median(shares(rounds[OURS]))
            verdicts.append(verdict(f"extract_{model}_share_of_limit", share, SHARE_GOAL))
    print("\n".join(verdicts))


def measure(model: str, *, count: int, batch_size: int, rounds: int) -> Rounds:
    """Each side's cost of every round."""
    ours = partial(FinegrainFeatures, model=model, count=count, batch_size=batch_size)
    peer = partial(TimmFeatures, model=model, count=count, batch_size=batch_size)
    return take_turns({OURS: ours, EAGER: partial(ours, compile_="never"), PEER: peer}, rounds=rounds, threads=1)


def shares(costs: Sequence[Cost]) -> list[float]:
    """Of the limit, round by round."""
    return [cost.share for cost in costs if isinstance(cost, FeaturesCost)]


def table(model: str, rounds: Rounds) -> str:
    """Medians with least and most: images per second, by the peer's, and by the limit; and how long building took."""
    lines = [f"{model:<24}{'images/CPU-s':>26}{'images/s':>26}{'timm’s, ×':>20}{'of limit':>20}{'built in':>10}"]
    for name, costs in rounds.items():
        rates = [spread([rate(cost, cpu=cpu) for cost in costs]) for cpu in (True, False)]
        ratios = "" if name == PEER else spread(paired_ratios(costs, rounds[PEER], cpu=True))
        found = [cost for cost in costs if isinstance(cost, FeaturesCost)]
        limit, built = (spread(shares(costs)), f"{found[0].build_seconds:.1f} s") if found else ("", "")
        lines.append(f"  {name:<22}{rates[0]:>26}{rates[1]:>26}{ratios:>20}{limit:>20}{built:>10}")
        if name == OURS and found:
            gemm = spread([cost.gemm_flops / 1e9 for cost in found])
            lines[0] = f"{lines[0]}   limit {gemm} GFLOP/CPU-s, {found[0].flops / 1e9:.1f} GFLOP an image"
    return "\n".join(lines)


if __name__ == "__main__":
    main()
