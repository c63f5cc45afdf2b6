"""A generator learned as the decoder of a conditional variational autoencoder."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from finegrain.config import Fraction, NonNegative, Positive
from finegrain.gan.augment import mirror
from finegrain.gan.methods.base import GenerativeRecipe
from finegrain.gan.networks.encoder import Encoder, EncoderConfig
from finegrain.gan.networks.generator import Generator, GeneratorConfig
from finegrain.gan.player import Player
from finegrain.gan.trainer import Images, TrainConfig
from finegrain.runtime import Runtime


@dataclass(kw_only=True, slots=True)
class VaeTrainConfig(TrainConfig):
    """The numbers of a VAE's training."""

    lr: Positive = 1e-3
    """Adam's learning rate, of both networks."""
    beta: NonNegative = 1.0
    """Weight of the divergence from the prior (β-VAE, Higgins et al., ICLR 2017); 1: a bound of the likelihood."""
    warmup_fraction: Fraction = 0.1
    """Share of the steps in which that weight grows from 0 to `beta` (Bowman et al., 2016, arXiv:1511.06349)."""
    deviation: Positive | None = None
    """σ of a colour value about the decoded one, in [−1, 1]; none: what fits each batch best (σ-VAE,
    arXiv:2006.13202)."""
    flip: Fraction = 0.5
    """Probability that a real image is mirrored left to right."""


class Autoencoder(nn.Module):
    """Encoder and decoder, which are trained as one."""

    def __init__(self, encoder: Encoder, decoder: Generator) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

    def forward(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Decoded images of a draw from q(z | x, y), and its mean and log variance."""
        mean, log_variance = self.encoder(images, labels)
        noise = mean + (log_variance / 2).exp() * torch.randn_like(mean)
        return self.decoder(noise, labels), mean, log_variance


@dataclass(kw_only=True, slots=True)
class VaeRecipe(GenerativeRecipe):
    """A conditional variational autoencoder, whose decoder is the generator of a GAN."""

    train: VaeTrainConfig = field(default_factory=VaeTrainConfig)
    generator: GeneratorConfig = field(default_factory=GeneratorConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)

    @property
    def sampler(self) -> GeneratorConfig:
        """See `GenerativeRecipe.sampler`."""
        return self.generator

    def networks(self, num_classes: int) -> dict[str, nn.Module]:
        """See `GenerativeRecipe.networks`."""
        size, noise_dim = self.image_size, self.generator.noise_dim
        return {
            "generator": self.generator.build(image_size=size, num_classes=num_classes),
            "encoder": self.encoder.build(image_size=size, num_classes=num_classes, noise_dim=noise_dim),
        }

    def method(self, networks: Mapping[str, Any], runtime: Runtime) -> "Variational":
        """See `GenerativeRecipe.method`."""
        both = Autoencoder(networks["encoder"], networks["generator"])
        player = Player.with_adam("autoencoder", both, lr=self.train.lr, betas=(0.9, 0.999), runtime=runtime)
        return Variational(config=self.train, autoencoder=player, runtime=runtime)


@dataclass(kw_only=True)
class Variational:
    """Descends the negative evidence lower bound of Kingma & Welling, ICLR 2014, arXiv:1312.6114, conditioned."""

    config: VaeTrainConfig
    autoencoder: Player[Autoencoder]
    runtime: Runtime

    @property
    def model(self) -> Generator:
        """See `Method.model`: the decoder."""
        return self.autoencoder.network.decoder

    def beta(self, number: int) -> float:
        """Weight of the divergence in step `number`."""
        warming = self.config.warmup_fraction * self.config.steps
        return self.config.beta * (1.0 if number >= warming else number / warming)

    def step(self, images: Images, number: int) -> list[dict[str, float]]:
        """See `Method.step`; what is watched is in nats of an image, but `mse`, which is of a colour value."""
        real, labels = next(images)
        real = mirror(real, self.config.flip)
        with self.runtime.training_forward():
            decoded, mean, log_variance = self.autoencoder.network(real, labels)
        error = (decoded - real).square().mean()
        values = real[0].numel()
        reconstruction = values * gaussian_nats(error, self.config.deviation)
        divergence = from_prior(mean, log_variance).mean()
        loss = (reconstruction + self.beta(number) * divergence) / values
        watched = {"reconstruction": reconstruction, "divergence": divergence, "mse": error}
        return [self.autoencoder.step(loss, number=number, watched=watched)]

    def state(self) -> dict[str, Any]:
        """See `Method.state`."""
        return {"autoencoder": self.autoencoder.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """See `Method.restore`."""
        self.autoencoder.restore(state["autoencoder"])


def gaussian_nats(error: Tensor, deviation: float | None) -> Tensor:
    """`−log N(x; x̂, σ²)` of a number, on average, in nats: `½ log 2πσ² + (x − x̂)² / 2σ²`.

    Args:
        error: The mean squared error, a scalar.
        deviation: σ; None: the likeliest, σ² = `error`, which leaves `½ log 2πe·error` (Rybkin et al., ICML 2021).
    """
    variance = error.clamp(min=1e-8) if deviation is None else torch.full_like(error, deviation**2)
    return (2 * math.pi * variance).log() / 2 + error / (2 * variance)


def from_prior(mean: Tensor, log_variance: Tensor) -> Tensor:
    """`KL(N(μ, σ²) ‖ N(0, 1))` in nats, `½ Σ (μ² + σ² − 1 − log σ²)`, as [B] of [B, Z]."""
    return (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=1) / 2
