"""The generator: noise and a class become an image."""

import math
from dataclasses import dataclass, fields
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from finegrain.config import Count
from finegrain.errors import fault
from finegrain.gan.networks.sampler import ImageSize, Sampler

_WIDEST = 8
"""Most channels of a stage, in units of the width."""


@dataclass(kw_only=True, slots=True)
class GeneratorConfig:
    """What the generator is made of: DCGAN's stages (Radford et al., ICLR 2016, arXiv:1511.06434)."""

    style: Literal["upsample", "transposed"] = "upsample"
    """How a stage doubles the side: nearest neighbours and a 3 × 3 convolution, or DCGAN's transposed convolution of
    4 × 4, which takes as long and is prone to checkerboards."""
    conditioning: Literal["norm", "concat", "embedding"] = "norm"
    """How the class comes in: as scale and shift of every batch norm (de Vries et al., 2017), as further noise, or as
    factors of the noise."""
    noise_dim: Count = 128
    """Numbers drawn for an image, each N(0, 1)."""
    embedding_dim: Count = 128
    """Numbers learned for a class; `embedding` learns as many as are drawn."""
    width: Count = 32
    """Channels of the last stage but one; each stage before has twice as many, at most eight times."""

    def faults(self) -> list[str]:
        """A setting that has no effect."""
        default = {field.name: field.default for field in fields(self)}["embedding_dim"]
        if self.conditioning != "embedding" or self.embedding_dim == default:
            return []
        expected, remedy = f"{default}, as generator.conditioning is embedding", "set generator.noise_dim"
        return [
            fault("generator.embedding_dim has no effect", got=self.embedding_dim, expected=expected, remedy=remedy)
        ]

    def build(self, *, image_size: ImageSize, num_classes: int) -> "Generator":
        """The generator with random weights, from torch's generator of random numbers."""
        return Generator(self, image_size=image_size, num_classes=num_classes)


class Generator(Sampler):
    """Maps noise [B, Z] and labels [B] to images float32 [B, 3, S, S] in [−1, 1].

    A linear layer gives 4 × 4 pixels, each of log₂(S/4) stages doubles their side, the last gives RGB.
    """

    def __init__(self, config: GeneratorConfig, *, image_size: int, num_classes: int) -> None:
        super().__init__()
        self.noise_dim, self.num_classes = config.noise_dim, num_classes
        self._conditioning = config.conditioning
        of_class = config.noise_dim if config.conditioning == "embedding" else config.embedding_dim
        self.embedding = nn.Embedding(num_classes, of_class)
        drawn = config.noise_dim + (of_class if config.conditioning == "concat" else 0)
        stages = int(math.log2(image_size // 4))
        channels = [config.width * min(2**stage, _WIDEST) for stage in reversed(range(stages))]
        self.input = nn.Linear(drawn, channels[0] * 16)
        conditional = of_class if config.conditioning == "norm" else None
        self.norms = nn.ModuleList(ConditionalNorm(count, conditional) for count in channels)
        pairs = zip(channels, [*channels[1:], 3], strict=True)
        self.doublings = nn.ModuleList(doubling(first, second, config.style) for first, second in pairs)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
                nn.init.normal_(module.weight, std=0.02)

    def forward(self, noise: Tensor, labels: Tensor, condition: float = 1.0) -> Tensor:
        """Images of `labels`.

        Args:
            noise: float [B, Z], N(0, 1).
            labels: int64 [B].
            condition: Share of the class's influence, in [0, 1]; 0: images of any class.
        """
        of_class = condition * self.embedding(labels)
        if self._conditioning == "concat":
            noise = torch.cat([noise, of_class], dim=1)
        elif self._conditioning == "embedding":
            noise = noise * (1 + of_class)
        rows: Tensor = self.input(noise).unflatten(1, (-1, 4, 4))
        weight: Any = self.doublings[0].weight
        if weight.is_contiguous(memory_format=torch.channels_last):
            rows = rows.contiguous(memory_format=torch.channels_last)
        for norm, double in zip(self.norms, self.doublings, strict=True):
            rows = double(functional.relu(norm(rows, of_class)))
        return rows.float().tanh()  # 8 bits of bf16 would show as bands

    def generate(self, noise: Tensor, labels: Tensor) -> Tensor:
        """See `Sampler.generate`."""
        images: Tensor = self(noise, labels)
        return images


class ConditionalNorm(nn.Module):
    """Batch norm whose scale and shift a class has a say in: `(1 + a + A c) x̂ + b + B c`, c its embedding.

    Without one it is batch norm.
    """

    def __init__(self, channels: int, embedding_dim: int | None) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=embedding_dim is None)
        self.scale = nn.Linear(embedding_dim, channels) if embedding_dim is not None else None
        self.shift = nn.Linear(embedding_dim, channels) if embedding_dim is not None else None
        for layer in (self.scale, self.shift):
            if layer is not None:
                nn.init.zeros_(layer.bias)

    def forward(self, rows: Tensor, of_class: Tensor) -> Tensor:
        """`rows` [B, C, H, W] normalised, as their classes [B, E] will have it."""
        normal: Tensor = self.norm(rows)
        if self.scale is None or self.shift is None:
            return normal
        scale, shift = 1 + self.scale(of_class), self.shift(of_class)
        return torch.addcmul(shift[:, :, None, None], normal, scale[:, :, None, None].to(normal.dtype))


class _Upsample(nn.Conv2d):
    """A 3 × 3 convolution of what was doubled by nearest neighbours, computed as one transposed convolution of 4 × 4.

    Each 2 × 2 of equal pixels meets sums of the kernel's weights: 16 products an input pixel in place of 36.
    """

    def __init__(self, channels: int, out_channels: int, *, bias: bool) -> None:
        super().__init__(channels, out_channels, 3, padding=1, bias=bias)
        sums = torch.tensor([[0.0, 0, 1], [0, 1, 1], [1, 1, 0], [1, 0, 0]])
        self.register_buffer("sums", sums, persistent=False)

    def forward(self, input: Tensor) -> Tensor:
        weight = torch.einsum("yr,xs,oirs->ioyx", self.sums, self.sums, self.weight)
        return functional.conv_transpose2d(input, weight, self.bias, stride=2, padding=1)


def doubling(channels: int, out_channels: int, style: Literal["upsample", "transposed"]) -> nn.Module:
    """A layer from [B, C, H, W] to [B, C', 2 H, 2 W]."""
    if style == "transposed":
        return nn.ConvTranspose2d(channels, out_channels, 4, stride=2, padding=1, bias=out_channels == 3)
    return _Upsample(channels, out_channels, bias=out_channels == 3)
