"""A diffusion model learned by taking noise out of images (Ho et al., NeurIPS 2020, arXiv:2006.11239)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from finegrain.config import Fraction, Positive, Probability
from finegrain.errors import fault
from finegrain.gan.augment import mirror
from finegrain.gan.methods.base import GenerativeRecipe
from finegrain.gan.networks.denoiser import LEVELS, Denoiser, DenoiserConfig
from finegrain.gan.player import Player
from finegrain.gan.trainer import Images, TrainConfig
from finegrain.runtime import Runtime


@dataclass(kw_only=True, slots=True)
class DiffusionTrainConfig(TrainConfig):
    """The numbers of a diffusion model's training."""

    lr: Positive = 1e-3
    """Adam's learning rate."""
    label_dropout: Probability = 0.1
    """Probability that an image is shown without its class, from which guidance learns what any class looks like."""
    flip: Fraction = 0.5
    """Probability that a real image is mirrored left to right."""


@dataclass(kw_only=True, slots=True)
class DiffusionRecipe(GenerativeRecipe):
    """A class-conditional diffusion model."""

    train: DiffusionTrainConfig = field(default_factory=DiffusionTrainConfig)
    denoiser: DenoiserConfig = field(default_factory=DenoiserConfig)

    def faults(self) -> list[str]:
        """Guidance needs to know what any class looks like."""
        faults = GenerativeRecipe.faults(self)
        if self.denoiser.guidance != 1 and not self.train.label_dropout:
            expected, remedy = "1, as train.label_dropout is 0", "set train.label_dropout=0.1"
            faults.append(fault("denoiser.guidance", got=self.denoiser.guidance, expected=expected, remedy=remedy))
        return faults

    @property
    def sampler(self) -> DenoiserConfig:
        """See `GenerativeRecipe.sampler`."""
        return self.denoiser

    def networks(self, num_classes: int) -> dict[str, nn.Module]:
        """See `GenerativeRecipe.networks`."""
        return {"denoiser": self.denoiser.build(image_size=self.image_size, num_classes=num_classes)}

    def method(self, networks: Mapping[str, Any], runtime: Runtime) -> "Denoising":
        """See `GenerativeRecipe.method`."""
        player = Player.with_adam(
            "denoiser", networks["denoiser"], lr=self.train.lr, betas=(0.9, 0.999), runtime=runtime
        )
        return Denoising(config=self.train, denoiser=player, runtime=runtime)


@dataclass(kw_only=True)
class Denoising:
    """Descends the mean squared error of the prediction at levels of noise drawn alike."""

    config: DiffusionTrainConfig
    denoiser: Player[Denoiser]
    runtime: Runtime

    @property
    def model(self) -> Denoiser:
        """See `Method.model`."""
        return self.denoiser.network

    def step(self, images: Images, number: int) -> list[dict[str, float]]:
        """See `Method.step`."""
        real, labels = next(images)
        real = mirror(real, self.config.flip)
        levels = torch.randint(LEVELS, labels.shape, device=labels.device)
        noisy, target = self.model.add_noise(real, torch.randn_like(real), levels)
        with self.runtime.training_forward():
            predicted = self.model(noisy, levels, self._drop(labels))
        loss = functional.mse_loss(predicted, target)
        return [self.denoiser.step(loss, number=number, watched={"mse": loss})]

    def _drop(self, labels: Tensor) -> Tensor:
        dropped = torch.rand(labels.shape, device=labels.device) < self.config.label_dropout
        return labels.masked_fill(dropped, self.model.num_classes)

    def state(self) -> dict[str, Any]:
        """See `Method.state`."""
        return {"denoiser": self.denoiser.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """See `Method.restore`."""
        self.denoiser.restore(state["denoiser"])
