"""Images per second that get their maps, beside a plain forward and backward pass of the same batch.

    python benchmarks/explain.py            # about 5 minutes on a quiet core
    python benchmarks/explain.py --quick    # whether it runs; its figures say little

Random weights, 224 pixels, prepared images in memory, fp32, channels last, one thread. The plain side is a training
step of all weights without its update: logits, and the gradient of one weighted sum of them; batch norm is left in eval
mode, which is cheaper. `hirescam` and `gradcam` make one map an image; "page" is what the command `explain` computes of
one: probabilities and four maps, of two classes and of each rather than the other. Each side lives in a process of its
own, and they take turns; a ratio is the median over rounds of what was measured in the same round, by CPU seconds.
"""

import argparse
import statistics
from collections.abc import Callable, Sequence
from functools import partial

import torch
from figures import conditions, verdict
from networks import CLASSES, classifier, images
from rounds import paired_ratios, rate, spread, take_turns
from side import Cost, Meter, Side
from torch import Tensor

from finegrain.saliency.explainer import Explainer, Method

MODELS = ("resnet50", "vit_small_patch16_224", "resnet18", "vit_tiny_patch16_224")
GOAL = 0.9
PLAIN, PAGE = "forward and backward", "page"
METHODS: dict[str, Method] = {"hirescam": "hirescam", "gradcam": "gradcam", PAGE: "hirescam"}


class Batches:
    """Images [B, 3, S, S] that every side sees, and the two classes each is asked about."""

    def __init__(self, *, model: str, count: int, batch_size: int, image_size: int = 224) -> None:
        self.model = classifier(model, image_size=image_size).to(memory_format=torch.channels_last)
        prepared = images(count, image_size=image_size).contiguous(memory_format=torch.channels_last)
        one_hot = torch.eye(CLASSES)
        self.pairs = [(one_hot[: len(part)], one_hot[-len(part) :]) for part in prepared.split(batch_size)]
        self.batches = prepared.split(batch_size)

    def epoch(self) -> Cost:
        """Go through all images."""
        meter = Meter()
        for batch, (first, second) in zip(self.batches, self.pairs, strict=True):
            self.go(batch, first, second)
        return meter.read(sum(map(len, self.batches)))

    def go(self, batch: Tensor, first: Tensor, second: Tensor) -> object:
        """What is measured."""
        raise NotImplementedError


class ForwardAndBackward(Batches):
    """The gradient of the first class's logits for every weight."""

    def go(self, batch: Tensor, first: Tensor, second: Tensor) -> object:
        """One batch."""
        self.model.zero_grad()
        (self.model(batch) * first).sum().backward()
        return None


class Maps(Batches):
    """What speaks for the first class, or all that a page shows."""

    def __init__(self, *, shown: str, model: str, count: int, batch_size: int, image_size: int = 224) -> None:
        super().__init__(model=model, count=count, batch_size=batch_size, image_size=image_size)
        self._page = shown == PAGE
        self._explainer = Explainer.of(self.model, method=METHODS[shown])

    def go(self, batch: Tensor, first: Tensor, second: Tensor) -> object:
        """One batch."""
        if not self._page:
            return self._explainer.maps(batch, first)
        with torch.inference_mode():
            probabilities = self.model(batch).softmax(dim=1)
        asked = torch.stack([first, second, first - second, second - first])
        return probabilities, self._explainer.maps(batch, asked)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure the networks and print the ratios."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="4 images, 2 rounds, ViT-Tiny alone")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--images", type=int, default=16, help="a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=16)
    options = parser.parse_args(argv)
    if options.quick:
        options.models, options.images, options.rounds, options.batch_size = ["vit_tiny_patch16_224"], 4, 2, 4
    print(conditions(options))
    verdicts = []
    for model in options.models:
        built = sides(model, count=options.images, batch_size=options.batch_size)
        rounds = take_turns(built, rounds=options.rounds, threads=1)
        for name, costs in rounds.items():
            rates = [spread([rate(cost, cpu=cpu) for cost in costs]) for cpu in (True, False)]
            print(f"{model:<24}{name:<22}{rates[0]:>26} images/CPU-s{rates[1]:>26} images/s", flush=True)
        for shown in METHODS:
            ratio = statistics.median(paired_ratios(rounds[shown], rounds[PLAIN], cpu=True))
            verdicts.append(verdict(f"explain_{model}_{shown}", ratio, GOAL, needs_amx=False))
    print("\n".join(verdicts))


def sides(model: str, *, count: int, batch_size: int, image_size: int = 224) -> dict[str, Callable[[], Side]]:
    """What builds each side."""
    size = {"model": model, "count": count, "batch_size": batch_size, "image_size": image_size}
    maps: dict[str, Callable[[], Side]] = {shown: partial(Maps, shown=shown, **size) for shown in METHODS}
    return maps | {PLAIN: partial(ForwardAndBackward, **size)}


if __name__ == "__main__":
    main()
