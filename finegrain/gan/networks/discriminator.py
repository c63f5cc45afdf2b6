"""The discriminator: how real an image of a class looks."""

import math
from dataclasses import dataclass, fields
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import spectral_norm

from finegrain.config import Count, Fraction, Positive
from finegrain.errors import fault
from finegrain.gan.networks.class_loss import data_to_data
from finegrain.gan.networks.sampler import ImageSize

_WIDEST = 8
"""Most channels of a stage, in units of the width."""
_OF_CLASS = 64
"""Numbers learned for a class where they join the image's."""
_SECOND_HEAD = {"class_weight": ("classifier", "reacgan"), "temperature": ("reacgan",), "margin": ("reacgan",)}
"""Which conditionings read a setting that not all read."""


@dataclass(kw_only=True, slots=True)
class DiscriminatorConfig:
    """What the discriminator is made of: DCGAN's stages, spectrally normalised (Miyato et al., ICLR 2018)."""

    conditioning: Literal["projection", "concat", "classifier", "reacgan"] = "projection"
    """How the class comes in: `ψ(h) + ⟨e_y, h⟩` (Miyato & Koyama, ICLR 2018, arXiv:1802.05637), an embedding beside
    what the last stage gives, a second head that names the class (AC-GAN, Odena et al., 2017, arXiv:1610.09585), or one
    that puts images near their class on a sphere (ReACGAN, Kang et al., NeurIPS 2021, arXiv:2111.01118)."""
    normalisation: Literal["spectral", "batch", "none"] = "spectral"
    """Of every layer's weights, of the channels of every stage but the first (DCGAN), or of nothing."""
    width: Count = 32
    """Channels of the first stage; each stage has twice as many, at most eight times."""
    class_weight: Positive = 1.0
    """Weight of the second head's loss, for both networks."""
    temperature: Positive = 0.5
    """τ of ReACGAN: the lower, the more the nearest wrong images count."""
    margin: Fraction = 0.98
    """m of ReACGAN: cosine to the class beyond which an image is near enough; 1 − m: to images that are far enough."""

    def faults(self) -> list[str]:
        """A setting that has no effect."""
        default = {field.name: field.default for field in fields(self)}
        return [
            fault(
                f"discriminator.{key} has no effect",
                got=getattr(self, key),
                expected=f"{default[key]}, as discriminator.conditioning is {self.conditioning}",
                remedy="leave it out",
            )
            for key, readers in _SECOND_HEAD.items()
            if self.conditioning not in readers and getattr(self, key) != default[key]
        ]

    def build(self, *, image_size: ImageSize, num_classes: int) -> "Discriminator":
        """The discriminator with random weights, from torch's generator of random numbers."""
        return Discriminator(self, image_size=image_size, num_classes=num_classes)


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What the discriminator says of a batch."""

    score: Tensor
    """float32 [B]: the higher, the more real."""
    class_logits: Tensor | None = None
    """float32 [B, K] of AC-GAN's head."""
    embedding: Tensor | None = None
    """float32 [B, E] of ReACGAN's head, of length 1."""
    class_embedding: Tensor | None = None
    """The same of the labels."""

    def halves(self) -> tuple["Verdict", "Verdict"]:
        """Of the first and of the second half of the batch."""
        parts = {name: getattr(self, name) for name in Verdict.__slots__}
        pairs = {name: rows.chunk(2) for name, rows in parts.items() if rows is not None}
        first, second = ({name: pair[half] for name, pair in pairs.items()} for half in (0, 1))
        return Verdict(**first), Verdict(**second)


class Discriminator(nn.Module):
    """Maps images [B, 3, S, S] in [−1, 1] and labels [B] to a `Verdict`.

    Each of log₂(S/4) stages halves the side; the sum of the last 4 × 4 pixels goes to the heads. With spectral
    normalisation every layer has norm 1: in train mode each call takes one step of the power iteration, in eval mode
    none. Batch norm always takes the statistics of the batch at hand, and keeps none.
    """

    def __init__(self, config: DiscriminatorConfig, *, image_size: int, num_classes: int) -> None:
        super().__init__()
        stages = int(math.log2(image_size // 4))
        channels = [config.width * min(2**stage, _WIDEST) for stage in range(stages)]
        pairs = zip([3, *channels[:-1]], channels, strict=True)
        normal = spectral_norm if config.normalisation == "spectral" else lambda layer: layer
        self.halvings = nn.ModuleList(
            normal(nn.Conv2d(first, second, 4, stride=2, padding=1)) for first, second in pairs
        )
        self._batch_norm = config.normalisation == "batch"
        norms = (nn.BatchNorm2d(count, track_running_stats=False) for count in channels[1:])
        self.norms = nn.ModuleList([nn.Identity(), *norms] if self._batch_norm else [nn.Identity()] * stages)
        last = channels[-1]
        self.score = normal(nn.Linear(last, 1))
        self._config = config
        if config.conditioning == "classifier":
            self.classes = normal(nn.Linear(last, num_classes))
        else:
            size = _OF_CLASS if config.conditioning == "concat" else last
            self.embedding = normal(nn.Embedding(num_classes, size))
        if config.conditioning == "concat":
            self.joint = normal(nn.Conv2d(last + _OF_CLASS, last, 3, padding=1))
        elif config.conditioning == "reacgan":
            self.sphere = normal(nn.Linear(last, last))
        if self._batch_norm:
            self._begin_like_dcgan()

    def _begin_like_dcgan(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.normal_(module.weight, std=0.02)

    @property
    def names_generated(self) -> bool:
        """Whether it learns the classes of generated images too: AC-GAN does, ReACGAN of real ones alone."""
        return self._config.conditioning == "classifier"

    def forward(self, images: Tensor, labels: Tensor, condition: float = 1.0) -> Verdict:
        """Judge `images` as images of `labels`; `condition` in [0, 1] is the share of the class's influence."""
        with parametrize.cached():
            with torch.autocast(images.device.type, enabled=False):
                self._normalise()
            rows = images
            for halve, norm in zip(self.halvings, self.norms, strict=True):
                rows = functional.leaky_relu(norm(halve(rows)), 0.2)
            if self._config.conditioning == "concat":
                of_class = condition * self.embedding(labels)[:, :, None, None].expand(-1, -1, *rows.shape[2:])
                rows = functional.leaky_relu(self.joint(torch.cat([rows, of_class.to(rows.dtype)], dim=1)), 0.2)
            with torch.autocast(images.device.type, enabled=False):
                return self._judge(rows.float().sum(dim=(2, 3)), labels, condition)

    def compare(self, images: Tensor, labels: Tensor, condition: float = 1.0) -> tuple[Verdict, Verdict]:
        """Judge real images of `labels` [B] and generated ones of the same, which are below them in `images` [2 B].

        In one pass, but with batch norm: each side then has statistics of its own, as in DCGAN.
        """
        if self._batch_norm:
            real, fake = images.chunk(2)
            return self(real, labels, condition), self(fake, labels, condition)
        verdict: Verdict = self(images, torch.cat([labels, labels]), condition)
        return verdict.halves()

    def class_loss(self, verdict: Verdict, labels: Tensor) -> Tensor | None:
        """How badly the second head tells that images are of `labels`, weighted, a scalar; None where there is none."""
        config = self._config
        if verdict.class_logits is not None:
            return config.class_weight * functional.cross_entropy(verdict.class_logits, labels)
        if verdict.embedding is None or verdict.class_embedding is None:
            return None
        loss = data_to_data(
            verdict.embedding, verdict.class_embedding, labels, temperature=config.temperature, margin=config.margin
        )
        return config.class_weight * loss

    def _judge(self, features: Tensor, labels: Tensor, condition: float) -> Verdict:
        """The heads, in fp32: a margin of 1 is not much in 8 bits."""
        score = self.score(features)[:, 0]
        match self._config.conditioning:
            case "projection":
                return Verdict(score=score + condition * (self.embedding(labels) * features).sum(dim=1))
            case "classifier":
                return Verdict(score=score, class_logits=self.classes(features))
            case "reacgan":
                image, of_class = map(functional.normalize, (self.sphere(features), self.embedding(labels)))
                return Verdict(score=score, embedding=image, class_embedding=of_class)
        return Verdict(score=score)

    def _normalise(self) -> None:
        """Compute each layer's weight once, in fp32, for as long as it is cached."""
        for module in self.modules():
            if parametrize.is_parametrized(module, "weight"):
                _ = module.weight
