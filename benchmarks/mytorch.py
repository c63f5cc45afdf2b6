"""Images per CPU second of the NumPy engine's convolution and LeNet, beside a loop over pixels and beside torch.

    python benchmarks/mytorch.py            # about 3 minutes on a quiet core
    python benchmarks/mytorch.py --quick    # whether it runs; its figures say little

- conv1, conv2: LeNet's two convolutions, forward and backward with the gradients of images, kernels and bias, fp32.
  The loop makes one product for each pixel of each image, with all kernels; "loop, images together" one for each
  pixel, with all images too.
- lenet: a training step, with SGD, of LeNet on 28×28 images that are in memory.

Each side lives in a process of its own, with one thread and the allocator's settings of a run, and they take turns; a
ratio is the median over rounds of what was measured in the same round, by CPU seconds. Above 1: the engine is faster.
"""

import argparse
import statistics
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np
from figures import conditions, verdict
from peers.loop_convolution import LoopConvolution
from rounds import paired_ratios, rate, spread, take_turns
from side import Cost, Meter, Side
from threadpoolctl import threadpool_limits

from finegrain.mytorch.networks import lenet
from finegrain.runtime import RuntimeConfig

GOAL = 20.0
LAYERS = {"conv1": ((1, 28, 28), (6, 1, 5, 5), 2), "conv2": ((6, 14, 14), (16, 6, 5, 5), 0)}
"""Images, kernels and padding."""
OURS, TORCH, LOOP, TOGETHER = "finegrain.mytorch", "torch", "loop", "loop, images together"


class Layer:
    """Images, kernels and the gradient of the result, the same for all sides."""

    def __init__(self, *, layer: str, batch_size: int, repeats: int) -> None:
        prepare()
        random = np.random.default_rng(0)
        images, kernels, self.padding = LAYERS[layer]
        sides = (side + 2 * self.padding - kernels[-1] + 1 for side in images[1:])
        shapes = {"x": (batch_size, *images), "weight": kernels, "bias": kernels[:1]}
        self.inputs = {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
        self.gradient = random.normal(size=(batch_size, kernels[0], *sides)).astype(np.float32)
        self._repeats = repeats

    def epoch(self) -> Cost:
        """Go there and back so many times."""
        meter = Meter()
        for _ in range(self._repeats):
            self.go()
        return meter.read(self._repeats * len(self.gradient))

    def go(self) -> Any:
        """The result, and the gradients of x, weight and bias."""
        raise NotImplementedError


class TensorLayer(Layer):
    """By a library's `conv2d`."""

    def __init__(self, *, library: str, **size: Any) -> None:
        super().__init__(**size)
        self._lib = import_module(library)
        self._tensors = {name: self._lib.from_numpy(array).requires_grad_() for name, array in self.inputs.items()}

    def go(self) -> Any:
        """See `Layer`."""
        for tensor in self._tensors.values():
            tensor.grad = None
        result = self._lib.nn.functional.conv2d(*self._tensors.values(), padding=self.padding)
        result.backward(self._lib.from_numpy(self.gradient))
        return [result.detach().numpy(), *(tensor.grad.numpy() for tensor in self._tensors.values())]


class LoopLayer(Layer):
    """By the loop."""

    def __init__(self, *, together: bool, **size: Any) -> None:
        super().__init__(**size)
        self._together = len(self.gradient) if together else 1

    def go(self) -> Any:
        """See `Layer`."""
        convolution = LoopConvolution(**self.inputs, padding=self.padding, together=self._together)
        return [convolution.forward(), *convolution.backward(self.gradient)]


class Training:
    """Steps of LeNet."""

    def __init__(self, *, library: str, batch_size: int, repeats: int) -> None:
        prepare()
        self._lib, random = import_module(library), np.random.default_rng(0)
        self._images = self._lib.from_numpy(random.normal(size=(batch_size, 1, 28, 28)).astype(np.float32))
        self._labels = self._lib.from_numpy(random.integers(0, 10, batch_size))
        self._model, self._loss = lenet(self._lib.nn), self._lib.nn.CrossEntropyLoss()
        self._optimizer = self._lib.optim.SGD(self._model.parameters(), lr=0.01, momentum=0.9)
        self._repeats = repeats

    def epoch(self) -> Cost:
        """So many steps."""
        meter = Meter()
        for _ in range(self._repeats):
            self._optimizer.zero_grad()
            self._loss(self._model(self._images), self._labels).backward()
            self._optimizer.step()
        return meter.read(self._repeats * len(self._labels))


def prepare() -> None:
    """One thread and a run's allocator, for all sides: glibc else returns the windows to the kernel in every step."""
    threadpool_limits(1)
    RuntimeConfig(device="cpu", threads=1, compile="never").build()


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print the ratios."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="batches of 2, 2 rounds")
    parser.add_argument("--images", type=int, default=1280, help="a round; the loop takes one batch")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=64)
    options = parser.parse_args(argv)
    if options.quick:
        options.images, options.rounds, options.batch_size = 4, 2, 2
    print(f"{conditions(options)}, numpy {np.__version__}")
    verdicts = []
    for work in (*LAYERS, "lenet"):
        built = sides(work, batch_size=options.batch_size, images=options.images)
        rounds = take_turns(built, rounds=options.rounds, threads=1)
        for name, costs in rounds.items():
            rates = [spread([rate(cost, cpu=cpu) for cost in costs]) for cpu in (True, False)]
            print(f"{work:<8}{name:<24}{rates[0]:>30} images/CPU-s{rates[1]:>30} images/s", flush=True)
        for name, label in {LOOP: "loop", TOGETHER: "loop_together", TORCH: "torch"}.items():
            if name in rounds:
                ratio = statistics.median(paired_ratios(rounds[OURS], rounds[name], cpu=True))
                goal = GOAL if name == LOOP else None
                verdicts.append(verdict(f"mytorch_{work}_{label}", ratio, goal, needs_amx=False))
    print("\n".join(verdicts))


def sides(work: str, *, batch_size: int, images: int) -> dict[str, Callable[[], Side]]:
    """What builds each side."""
    size = {"batch_size": batch_size, "repeats": images // batch_size}
    if work == "lenet":
        return {library: partial(Training, library=library, **size) for library in (OURS, TORCH)}
    tensors: dict[str, Callable[[], Side]] = {
        library: partial(TensorLayer, library=library, layer=work, **size) for library in (OURS, TORCH)
    }
    once = size | {"layer": work, "repeats": 1}
    return tensors | {
        LOOP: partial(LoopLayer, together=False, **once),
        TOGETHER: partial(LoopLayer, together=True, **once),
    }


if __name__ == "__main__":
    main()
