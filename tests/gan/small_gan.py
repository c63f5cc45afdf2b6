"""A GAN whose steps take milliseconds, with all that a resume must restore."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from finegrain.data.base import Sample
from finegrain.data.feed import ImageFeed
from finegrain.data.loader import Loader
from finegrain.data.transforms import eval_transform
from finegrain.engine.checkpoint import write_state
from finegrain.engine.ema import WeightEMA
from finegrain.engine.interrupt import Interrupted
from finegrain.gan.augment import DiffAugment
from finegrain.gan.losses import AdversarialLoss, Hinge
from finegrain.gan.networks.discriminator import DiscriminatorConfig
from finegrain.gan.networks.generator import Generator, GeneratorConfig
from finegrain.gan.player import Player
from finegrain.gan.trainer import GanTrainConfig, GanTrainer
from finegrain.preprocessing import Preprocessing
from finegrain.runtime import Runtime

K = 3
CPU = Runtime(
    device=torch.device("cpu"), precision="fp32", channels_last=True, num_workers=0, deterministic=True, compile="never"
)
HALF = (0.5, 0.5, 0.5)
SMALL = Preprocessing(image_size=32, resize_size=32, mean=HALF, std=HALF, interpolation="bilinear")


class Noise:
    """Random images, each a function of its path."""

    def read(self, sample: Sample) -> NDArray[np.uint8]:
        return np.random.default_rng(list(sample.path.encode())).integers(0, 256, (32, 32, 3), dtype=np.uint8)


def feed(count: int = 11, *, batch_size: int = 4) -> ImageFeed:
    samples = [Sample(path=f"{number}.png", label=number % K) for number in range(count)]
    transform = eval_transform(SMALL)
    images = Loader(samples, source=Noise(), transform=transform, batch_size=batch_size, seed=7, train=True)
    return ImageFeed(images, preprocessing=SMALL, runtime=CPU)


@dataclass
class Keeper:
    """Remembers what it was asked to save; saves at every step to `folder`, and asks for a stop after `stop`."""

    stop: int | None = None
    folder: Path | None = None
    saved: list[tuple[int, bool]] = field(default_factory=list)

    def save(self, trainer: GanTrainer, *, kept: bool) -> None:
        self.saved.append((trainer.progress.step, kept))
        self._write(trainer)

    def stop_if_asked(self, trainer: GanTrainer, *, saved: bool = False) -> None:
        self._write(trainer)
        if trainer.progress.step == self.stop:
            raise Interrupted(15, where=trainer.place)

    def _write(self, trainer: GanTrainer) -> None:
        if self.folder is not None:
            (target := self.folder / f"{trainer.progress.step}").mkdir(exist_ok=True)
            write_state(target, trainer.state(), identity={})


def distances(*values: float) -> Callable[[Generator, int], Mapping[str, float]]:
    """An evaluation that gives these distances in turn."""
    given = iter(values)
    return lambda generator, step: {"kernel_distance": next(given)}


def mean_pixel(generator: Generator, step: int) -> Mapping[str, float]:
    """An evaluation that is a function of the generator."""
    return {"kernel_distance": float(generator.sample([0, 1, 2], [1, 2, 3]).mean())}


def gan(
    *,
    loss: AdversarialLoss | None = None,
    keeper: Keeper | None = None,
    evaluate: Callable[[Generator, int], Mapping[str, float]] = mean_pixel,
    runtime: Runtime = CPU,
    generator: Mapping[str, Any] | None = None,
    conditioning: Any = "projection",
    augment: DiffAugment | None = None,
    **config: Any,
) -> GanTrainer:
    torch.manual_seed(0)
    made = GeneratorConfig(width=2, noise_dim=4, embedding_dim=128, **(generator or {}))
    networks = (
        made.build(image_size=32, num_classes=K),
        DiscriminatorConfig(width=2, conditioning=conditioning).build(image_size=32, num_classes=K),
    )
    for network in networks:
        runtime.place_model(network)
    players = [
        Player(name=name, network=network, optimizer=torch.optim.Adam(network.parameters(), lr=1e-2), runtime=runtime)
        for name, network in zip(("generator", "discriminator"), networks, strict=True)
    ]
    return GanTrainer(
        config=GanTrainConfig(**{"steps": 5, "batch_size": 4, "evaluate_steps": 2, **config}),
        generator=players[0],
        discriminator=players[1],
        average=WeightEMA(networks[0], decay=0.9),
        loss=loss or Hinge(),
        augment=augment or DiffAugment(),
        runtime=runtime,
        seed=7,
        keeper=keeper or Keeper(),
        evaluate=evaluate,
    )


def equal(left: Any, right: Any) -> bool:
    """Equality to the bit of nested states, whatever the time they took."""
    if isinstance(left, torch.Tensor):
        return torch.equal(left, right)
    if isinstance(left, dict):
        keys = left.keys() - {"seconds"}
        return keys == right.keys() - {"seconds"} and all(equal(left[key], right[key]) for key in keys)
    if isinstance(left, (list, tuple)):
        return len(left) == len(right) and all(map(equal, left, right))
    return left == right
