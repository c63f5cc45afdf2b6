"""Trainings whose steps take milliseconds, one a method, with all that a resume must restore."""

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
from finegrain.gan.methods.adversarial import Adversarial, GanTrainConfig
from finegrain.gan.methods.denoising import Denoising, DiffusionTrainConfig
from finegrain.gan.methods.variational import Autoencoder, VaeTrainConfig, Variational
from finegrain.gan.networks.denoiser import DenoiserConfig
from finegrain.gan.networks.discriminator import DiscriminatorConfig
from finegrain.gan.networks.encoder import EncoderConfig
from finegrain.gan.networks.generator import GeneratorConfig
from finegrain.gan.networks.sampler import Sampler
from finegrain.gan.player import Player
from finegrain.gan.trainer import GeneratorTrainer, Method, TrainConfig
from finegrain.preprocessing import Preprocessing
from finegrain.runtime import Runtime

K = 3
SHORT: dict[str, Any] = {"steps": 5, "batch_size": 4, "evaluate_steps": 2}
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

    def save(self, trainer: GeneratorTrainer, *, kept: bool) -> None:
        self.saved.append((trainer.progress.step, kept))
        self._write(trainer)

    def stop_if_asked(self, trainer: GeneratorTrainer, *, saved: bool = False) -> None:
        self._write(trainer)
        if trainer.progress.step == self.stop:
            raise Interrupted(15, where=trainer.place)

    def _write(self, trainer: GeneratorTrainer) -> None:
        if self.folder is not None:
            (target := self.folder / f"{trainer.progress.step}").mkdir(exist_ok=True)
            write_state(target, trainer.state(), identity={})


def distances(*values: float) -> Callable[[Sampler, int], Mapping[str, float]]:
    """An evaluation that gives these distances in turn."""
    given = iter(values)
    return lambda generator, step: {"kernel_distance": next(given)}


def mean_pixel(generator: Sampler, step: int) -> Mapping[str, float]:
    """An evaluation that is a function of the generator."""
    return {"kernel_distance": float(generator.sample([0, 1, 2], [1, 2, 3]).mean())}


def train(
    method: Method,
    config: TrainConfig,
    *,
    keeper: Keeper | None = None,
    evaluate: Callable[[Sampler, int], Mapping[str, float]] = mean_pixel,
    runtime: Runtime = CPU,
) -> GeneratorTrainer:
    return GeneratorTrainer(
        config=config,
        method=method,
        average=WeightEMA(method.model, decay=0.9),
        runtime=runtime,
        seed=7,
        keeper=keeper or Keeper(),
        evaluate=evaluate,
    )


def play(name: str, network: Any, runtime: Runtime) -> Player[Any]:
    return Player.with_adam(name, network, lr=1e-2, betas=(0.9, 0.999), runtime=runtime)


def gan(
    *,
    loss: AdversarialLoss | None = None,
    generator: Mapping[str, Any] | None = None,
    discriminator: Mapping[str, Any] | None = None,
    augment: DiffAugment | None = None,
    runtime: Runtime = CPU,
    keeper: Keeper | None = None,
    evaluate: Callable[[Sampler, int], Mapping[str, float]] = mean_pixel,
    **config: Any,
) -> GeneratorTrainer:
    torch.manual_seed(0)
    networks = {
        "generator": GeneratorConfig(width=2, noise_dim=4, **(generator or {})).build(image_size=32, num_classes=K),
        "discriminator": DiscriminatorConfig(width=2, **(discriminator or {})).build(image_size=32, num_classes=K),
    }
    players: Any = {name: play(name, network, runtime) for name, network in networks.items()}
    parts: Any = {"loss": loss or Hinge(), "augment": augment or DiffAugment(), "runtime": runtime, **players}
    made = GanTrainConfig(**{**SHORT, **config})
    return train(Adversarial(config=made, **parts), made, keeper=keeper, evaluate=evaluate, runtime=runtime)


def vae(*, runtime: Runtime = CPU, keeper: Keeper | None = None, **config: Any) -> GeneratorTrainer:
    torch.manual_seed(0)
    decoder = GeneratorConfig(width=2, noise_dim=4).build(image_size=32, num_classes=K)
    encoder = EncoderConfig(width=2).build(image_size=32, num_classes=K, noise_dim=4)
    player = play("autoencoder", Autoencoder(encoder, decoder), runtime)
    made = VaeTrainConfig(**{**SHORT, **config})
    method = Variational(config=made, autoencoder=player, runtime=runtime)
    return train(method, made, keeper=keeper, runtime=runtime)


def diffusion(*, runtime: Runtime = CPU, keeper: Keeper | None = None, **config: Any) -> GeneratorTrainer:
    torch.manual_seed(0)
    denoiser = DenoiserConfig(width=4, sampling_steps=2).build(image_size=32, num_classes=K)
    made = DiffusionTrainConfig(**{**SHORT, **config})
    method = Denoising(config=made, denoiser=play("denoiser", denoiser, runtime), runtime=runtime)
    return train(method, made, keeper=keeper, runtime=runtime)


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
