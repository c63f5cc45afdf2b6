"""The discriminator: how real an image of a class looks."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import spectral_norm

from finegrain.config import Count
from finegrain.gan.networks.generator import ImageSize

_WIDEST = 8
"""Most channels of a stage, in units of the width."""
_OF_CLASS = 64
"""Numbers learned for a class where they join the image's."""


@dataclass(kw_only=True, slots=True)
class DiscriminatorConfig:
    """What the discriminator is made of: DCGAN's stages, spectrally normalised (Miyato et al., ICLR 2018)."""

    conditioning: Literal["projection", "concat", "classifier"] = "projection"
    """How the class comes in: `ψ(h) + ⟨e_y, h⟩` (Miyato & Koyama, ICLR 2018, arXiv:1802.05637), an embedding beside
    what the last stage gives, or a second head that names the class (AC-GAN, Odena et al., 2017, arXiv:1610.09585)."""
    width: Count = 32
    """Channels of the first stage; each stage has twice as many, at most eight times."""

    def build(self, *, image_size: ImageSize, num_classes: int) -> "Discriminator":
        """The discriminator with random weights, from torch's generator of random numbers."""
        return Discriminator(self, image_size=image_size, num_classes=num_classes)


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What the discriminator says of a batch."""

    score: Tensor
    """float32 [B]: the higher, the more real."""
    class_logits: Tensor | None
    """float32 [B, K] of a second head; None where there is none."""


class Discriminator(nn.Module):
    """Maps images [B, 3, S, S] in [−1, 1] and labels [B] to a `Verdict`; every layer has spectral norm 1.

    Each of log₂(S/4) stages halves the side; the sum of the last 4 × 4 pixels goes to the heads. No batch norm:
    real and generated images share a batch. In train mode each call takes one step of the power iteration, in eval
    mode none.
    """

    def __init__(self, config: DiscriminatorConfig, *, image_size: int, num_classes: int) -> None:
        super().__init__()
        stages = int(math.log2(image_size // 4))
        channels = [config.width * min(2**stage, _WIDEST) for stage in range(stages)]
        pairs = zip([3, *channels[:-1]], channels, strict=True)
        self.halvings = nn.ModuleList(
            spectral_norm(nn.Conv2d(first, second, 4, stride=2, padding=1)) for first, second in pairs
        )
        last = channels[-1]
        self.score = spectral_norm(nn.Linear(last, 1))
        self._conditioning = config.conditioning
        if config.conditioning == "classifier":
            self.classes = spectral_norm(nn.Linear(last, num_classes))
        else:
            projection = config.conditioning == "projection"
            self.embedding = spectral_norm(nn.Embedding(num_classes, last if projection else _OF_CLASS))
        if config.conditioning == "concat":
            self.joint = spectral_norm(nn.Conv2d(last + _OF_CLASS, last, 3, padding=1))

    def forward(self, images: Tensor, labels: Tensor, condition: float = 1.0) -> Verdict:
        """Judge `images` as images of `labels`; `condition` in [0, 1] is the share of the class's influence."""
        with parametrize.cached():
            with torch.autocast(images.device.type, enabled=False):
                self._normalise()
            rows = images
            for halve in self.halvings:
                rows = functional.leaky_relu(halve(rows), 0.2)
            if self._conditioning == "concat":
                of_class = condition * self.embedding(labels)[:, :, None, None].expand(-1, -1, *rows.shape[2:])
                rows = functional.leaky_relu(self.joint(torch.cat([rows, of_class.to(rows.dtype)], dim=1)), 0.2)
            with torch.autocast(images.device.type, enabled=False):
                return self._judge(rows.float().sum(dim=(2, 3)), labels, condition)

    def _judge(self, features: Tensor, labels: Tensor, condition: float) -> Verdict:
        """The heads, in fp32: a margin of 1 is not much in 8 bits."""
        score = self.score(features)[:, 0]
        if self._conditioning == "projection":
            score = score + condition * (self.embedding(labels) * features).sum(dim=1)
        logits = self.classes(features) if self._conditioning == "classifier" else None
        return Verdict(score=score, class_logits=logits)

    def _normalise(self) -> None:
        """Compute each layer's weight once, in fp32, for as long as it is cached."""
        for module in self.modules():
            if parametrize.is_parametrized(module, "weight"):
                _ = module.weight
