"""Images per second that `predict` classifies, beside the extraction of the same files' features.

    python benchmarks/predict.py            # about 4 minutes on a quiet core
    python benchmarks/predict.py --quick    # whether it runs; its figures say little

Both sides read JPEGs of 500 × 375 pixels, run the same frozen network, uncompiled, on one thread, and begin anew each
round: extraction hashes the files and compares bf16 with fp32; prediction compares its fast form and evaluation's with
fp32, applies the head and averages over views. They take turns; a ratio is the median over rounds, by CPU seconds. The
goal is extraction's speed, within a tenth, for one view. Where bf16 is too coarse for extraction, it alone computes in
fp32; prediction stays with evaluation.
"""

import argparse
import logging
import statistics
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from figures import conditions, verdict
from networks import classifier
from photographs import write_photographs
from rounds import paired_ratios, rate, spread, take_turns
from side import Cost, Meter

from finegrain.data.base import Sample
from finegrain.data.image import FileSource
from finegrain.features.classify import classify
from finegrain.features.extract import extract
from finegrain.runtime import RuntimeConfig

MODELS = ("resnet50", "vit_small_patch16_224", "mobilenetv2_100")
GOAL = 0.9
PREDICTION, EXTRACTION = "predict", "extract"


class FromFiles:
    """One side: all files of a folder, once an epoch, through `do`, `classify` or `extract`."""

    def __init__(self, *, do: str, model: str, root: Path, image_size: int = 224) -> None:
        logging.basicConfig(level=logging.WARNING)
        self._samples = [Sample(path=str(p.relative_to(root)), label=0) for p in sorted(root.rglob("*.jpg"))]
        go = {PREDICTION: classify, EXTRACTION: extract}[do]
        self._go = partial(
            go,
            source=FileSource(root, 10**7),
            classifier=classifier(model, image_size=image_size),
            runtime=RuntimeConfig(device="cpu", compile="never").build(),
        )

    def epoch(self) -> Cost:
        """Go through all files."""
        meter = Meter()
        self._go(self._samples)
        return meter.read(len(self._samples))


def main(argv: Sequence[str] | None = None) -> None:
    """Measure every network and print the ratios."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="16 images, 2 rounds, MobileNetV2 alone")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--images", type=int, default=256, help="a round")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(argv)
    if options.quick:
        options.models, options.images, options.rounds = ["mobilenetv2_100"], 16, 2
    options.batch_size = "16"
    print(conditions(options))
    with tempfile.TemporaryDirectory() as folder:
        write_photographs(Path(folder), train=options.images)
        root = Path(folder) / "train"
        for model in options.models:
            sides = {do: partial(FromFiles, do=do, model=model, root=root) for do in (PREDICTION, EXTRACTION)}
            rounds = take_turns(sides, rounds=options.rounds, threads=1)
            for name, costs in rounds.items():
                rates = [spread([rate(cost, cpu=cpu) for cost in costs]) for cpu in (True, False)]
                print(f"{model:<18}{name:<10}{rates[0]:>26} images/CPU-s{rates[1]:>26} images/s", flush=True)
            ratio = statistics.median(paired_ratios(rounds[PREDICTION], rounds[EXTRACTION], cpu=True))
            print(verdict(f"predict_{model}", ratio, GOAL, needs_amx=False), flush=True)


if __name__ == "__main__":
    main()
