"""The networks of a conditional GAN and the images that every side of its benchmark trains on."""

from dataclasses import dataclass
from typing import Literal

import torch
from memory_images import ReadyImages, data

from finegrain.data.base import Data
from finegrain.gan.networks.discriminator import Discriminator, DiscriminatorConfig
from finegrain.gan.networks.generator import Generator, GeneratorConfig, ImageSize
from finegrain.preprocessing import Preprocessing
from finegrain.runtime import Runtime, seed_of


@dataclass(frozen=True, kw_only=True, slots=True)
class GanJob:
    """What all sides do alike."""

    image_size: ImageSize
    images: int
    """Of an epoch."""
    batch_size: int
    style: Literal["upsample", "transposed"] = "upsample"
    """The generator's stages: the project's default, or DCGAN's own."""
    width: int = 64
    """Of both networks, as in DCGAN."""
    num_classes: int = 16
    device: str = "cpu"

    @property
    def generator(self) -> GeneratorConfig:
        """Class-conditional batch norm."""
        return GeneratorConfig(width=self.width, style=self.style)

    @property
    def discriminator(self) -> DiscriminatorConfig:
        """Projection, spectral norm on every layer."""
        return DiscriminatorConfig(width=self.width)

    @property
    def noise_dim(self) -> int:
        """Numbers drawn for an image."""
        return self.generator.noise_dim


def networks(job: GanJob) -> tuple[Generator, Discriminator]:
    """Both with the random weights of a recipe's seed 0."""
    torch.manual_seed(seed_of(0, "weights"))
    size = {"image_size": job.image_size, "num_classes": job.num_classes}
    return job.generator.build(**size), job.discriminator.build(**size)


def train_data(job: GanJob) -> Data:
    """Smooth images without files."""
    return data(job.images, classes=job.num_classes, image_size=job.image_size)


def train_batches(job: GanJob, runtime: Runtime | None = None) -> ReadyImages:
    """Its train images as float32 [B, 3, S, S] in [−1, 1], ready before anything is measured."""
    half, images = (0.5, 0.5, 0.5), train_data(job)
    preprocessing = Preprocessing(
        image_size=job.image_size, resize_size=job.image_size, mean=half, std=half, interpolation="bicubic"
    )
    return ReadyImages(
        images.train, source=images.source, preprocessing=preprocessing, batch_size=job.batch_size, runtime=runtime
    )
