"""The encoder of a conditional VAE: where in the noise an image of a class lies."""

import math
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional

from finegrain.config import Count
from finegrain.gan.networks.generator import ConditionalNorm
from finegrain.gan.networks.sampler import ImageSize

_WIDEST = 8
"""Most channels of a stage, in units of the width."""


@dataclass(kw_only=True, slots=True)
class EncoderConfig:
    """What the encoder is made of: the generator's stages the other way round."""

    width: Count = 32
    """Channels of the first stage; each stage has twice as many, at most eight times."""
    embedding_dim: Count = 128
    """Numbers learned for a class."""

    def build(self, *, image_size: ImageSize, num_classes: int, noise_dim: int) -> "Encoder":
        """The encoder with random weights, from torch's generator of random numbers."""
        return Encoder(self, image_size=image_size, num_classes=num_classes, noise_dim=noise_dim)


class Encoder(nn.Module):
    """Maps images [B, 3, S, S] and labels [B] to mean and log variance, float32 [B, Z] each, of q(z | x, y).

    Each of log₂(S/4) stages halves the side; the class has a say in each stage's batch norm.
    """

    def __init__(self, config: EncoderConfig, *, image_size: int, num_classes: int, noise_dim: int) -> None:
        super().__init__()
        stages = int(math.log2(image_size // 4))
        channels = [config.width * min(2**stage, _WIDEST) for stage in range(stages)]
        pairs = zip([3, *channels[:-1]], channels, strict=True)
        self.embedding = nn.Embedding(num_classes, config.embedding_dim)
        self.halvings = nn.ModuleList(nn.Conv2d(first, second, 4, stride=2, padding=1) for first, second in pairs)
        self.norms = nn.ModuleList(ConditionalNorm(count, config.embedding_dim) for count in channels)
        self.output = nn.Linear(channels[-1] * 16, 2 * noise_dim)

    def forward(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance."""
        of_class, rows = self.embedding(labels), images
        for halve, norm in zip(self.halvings, self.norms, strict=True):
            rows = functional.leaky_relu(norm(halve(rows), of_class), 0.2)
        mean, log_variance = self.output(rows.flatten(1)).float().chunk(2, dim=1)
        return mean, log_variance
