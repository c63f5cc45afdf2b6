"""A diffusion model of images of classes, by the library diffusers, which only this file imports."""

from dataclasses import dataclass
from math import gcd, log2
from typing import Annotated, Any, Literal

import torch
from torch import Tensor
from torch.nn import functional

from finegrain.config import Count, Positive, Range
from finegrain.gan.networks.sampler import ImageSize, Sampler

LEVELS = 1000
"""Levels of noise that are learned."""
_COARSEST = 8
"""Side of the coarsest grid of a U-Net, where it attends to the whole image."""


@dataclass(kw_only=True, slots=True)
class DenoiserConfig:
    """What the diffusion model is made of: diffusers' `UNet2DModel`, a cosine schedule of noise, and DDIM."""

    patch: Literal[1, 2, 4] = 2
    """Side in pixels of the squares that become the finest grid's places: at 2 a step takes a quarter of the time."""
    width: Count = 32
    """Channels at the finest grid; twice as many at each coarser one, down to 8 × 8, at most four times."""
    layers: Count = 1
    """Residual blocks at each grid on the way down; one more on the way up."""
    prediction: Literal["v_prediction", "epsilon"] = "v_prediction"
    """What is learned: v = √ᾱ ε − √(1 − ᾱ) x (Salimans & Ho, ICLR 2022, arXiv:2202.00512), or the noise ε."""
    sampling_steps: Annotated[int, Range(least=1, most=LEVELS)] = 20
    """Passes through the network for an image."""
    guidance: Positive = 1.5
    """How far a prediction for the class goes beyond one for any class (Ho & Salimans, 2022, arXiv:2207.12598); 1: not
    at all, in half the time."""

    def build(self, *, image_size: ImageSize, num_classes: int) -> "Denoiser":
        """The model with random weights, from torch's generator of random numbers."""
        return Denoiser(self, image_size=image_size, num_classes=num_classes)


class Denoiser(Sampler):
    """Maps noisy images [B, 3, S, S], their levels [B] and labels [B] to a prediction [B, 3, S, S], float32.

    Label `num_classes` stands for any class. Images come of noise by DDIM with η = 0 (Song et al., ICLR 2021,
    arXiv:2010.02502), which draws nothing more.
    """

    def __init__(self, config: DenoiserConfig, *, image_size: int, num_classes: int) -> None:
        from diffusers import DDIMScheduler, UNet2DModel  # deferred: takes seconds, and few runs need it

        super().__init__()
        self.num_classes, self.noise_dim = num_classes, 3 * image_size**2
        self._side, self._patch, self._guidance = image_size, config.patch, config.guidance
        finest = image_size // config.patch
        grids = int(log2(finest // _COARSEST)) + 1
        channels = [config.width * min(2**grid, 4) for grid in range(grids)]
        self.network: Any = UNet2DModel(
            sample_size=finest,
            in_channels=3 * config.patch**2,
            out_channels=3 * config.patch**2,
            block_out_channels=channels,
            down_block_types=["DownBlock2D"] * (grids - 1) + ["AttnDownBlock2D"],
            up_block_types=["AttnUpBlock2D"] + ["UpBlock2D"] * (grids - 1),
            layers_per_block=config.layers,
            attention_head_dim=None,
            norm_num_groups=gcd(config.width, 32),
            num_class_embeds=num_classes + 1,
        )
        self.schedule: Any = DDIMScheduler(
            num_train_timesteps=LEVELS,
            beta_schedule="squaredcos_cap_v2",
            prediction_type=config.prediction,
            timestep_spacing="trailing",
        )
        self.schedule.set_timesteps(config.sampling_steps)

    def forward(self, noisy: Tensor, levels: Tensor, labels: Tensor) -> Tensor:
        """The prediction."""
        predicted = self.network(functional.pixel_unshuffle(noisy, self._patch), levels, labels).sample
        return functional.pixel_shuffle(predicted.float(), self._patch)

    def add_noise(self, images: Tensor, noise: Tensor, levels: Tensor) -> tuple[Tensor, Tensor]:
        """Noisy images `√ᾱ x + √(1 − ᾱ) ε`, and what is to be predicted of them, all [B, 3, S, S]."""
        noisy: Tensor = self.schedule.add_noise(images, noise, levels)
        if self.schedule.config.prediction_type == "epsilon":
            return noisy, noise
        return noisy, self.schedule.get_velocity(images, noise, levels)

    def generate(self, noise: Tensor, labels: Tensor) -> Tensor:
        """See `Sampler.generate`."""
        rows: Tensor = noise.reshape(-1, 3, self._side, self._side)
        any_class = torch.full_like(labels, self.num_classes)
        for level in self.schedule.timesteps.tolist():
            levels = torch.full_like(labels, level)
            predicted = self(rows, levels, labels)
            if self._guidance != 1:
                predicted = torch.lerp(self(rows, levels, any_class), predicted, self._guidance)
            rows = self.schedule.step(predicted, level, rows, use_clipped_model_output=True).prev_sample
        return rows
