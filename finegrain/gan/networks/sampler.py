"""What every kind of generator has in common: an image is a function of its label and seed alone."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from finegrain.runtime import seed_of

ImageSize = Literal[32, 64, 128, 256]
"""Sides of images in pixels that the networks are made for: powers of two."""
SAMPLES_AT_ONCE = 32
"""Images of every forward pass of `Sampler.sample`: kernels for another number would round differently."""


class Sampler(nn.Module):
    """A network that turns noise and a class into an image."""

    num_classes: int
    noise_dim: int
    """Numbers drawn for an image, each N(0, 1)."""

    def generate(self, noise: Tensor, labels: Tensor) -> Tensor:
        """Images float32 [B, 3, S, S] in [−1, 1] of noise [B, Z] and labels [B], each of its row alone."""
        raise NotImplementedError

    def sample(self, labels: Sequence[int], seeds: Sequence[int], *, truncation: float | None = None) -> Tensor:
        """Images float32 [N, 3, S, S] in [−1, 1] on the CPU; each a function of its label and seed alone.

        For a network in eval mode, the average of the weights above all.

        Args:
            labels: N classes.
            seeds: N seeds, one for each image.
            truncation: As for `noise`.
        """
        return self.render(self.noise(seeds, truncation), labels)

    @torch.no_grad()
    def render(self, noise: Tensor, labels: Sequence[int]) -> Tensor:
        """Images as of `sample`, each of its label and its noise, float32 [N, Z] on the CPU."""
        assert not self.training, "batch norm in train mode would mix the images of a batch"
        device, made = next(self.parameters()).device, []
        classes = torch.tensor(labels, dtype=torch.int64)
        parts = (torch.split(rows, SAMPLES_AT_ONCE) for rows in (noise, classes))
        for part, of in zip(*parts, strict=True):
            rows = torch.arange(SAMPLES_AT_ONCE).clamp(max=len(part) - 1)
            made.append(self.generate(part[rows].to(device), of[rows].to(device))[: len(part)].cpu())
        return torch.cat(made)

    def noise(self, seeds: Sequence[int], truncation: float | None = None) -> Tensor:
        """Noise float32 [N, Z], each row a function of its seed alone.

        Args:
            seeds: N of them.
            truncation: No number is farther from 0: N(0, 1) under that condition (Brock et al., ICLR 2019). The
                smaller, the more typical the images, and the more alike.
        """
        drawn = [torch.Generator().manual_seed(seed_of(seed, "noise")) for seed in seeds]
        if truncation is None:
            return torch.stack([torch.randn(self.noise_dim, generator=each) for each in drawn])
        rows = torch.empty(len(seeds), self.noise_dim)
        for row, each in zip(rows, drawn, strict=True):
            nn.init.trunc_normal_(row, a=-truncation, b=truncation, generator=each)
        return rows
