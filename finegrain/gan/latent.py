"""Pictures of what noise and class each do: the way from one noise to another, and one noise in every class."""

import torch
from torch import Tensor

from finegrain.gan.networks.sampler import Sampler
from finegrain.gan.pictures import grid, png, to_pixels
from finegrain.runtime import seed_of

STEPS, MOST_WALKS = 8, 6
"""Images of a way from noise to noise; ways, each of another class."""
NOISES, MOST_CLASSES = 3, 16
"""Noises that are shown in every class; classes."""


def slerp(first: Tensor, second: Tensor, shares: Tensor) -> Tensor:
    """Points [N, Z] on the arc between two noises [Z], at `shares` [N] of its angle ω.

    sin((1 − t) ω)/sin ω · a + sin(t ω)/sin ω · b (Shoemake, SIGGRAPH 1985): on the straight line they would be nearer
    to 0 than noise ever is.
    """
    angle = torch.arccos(torch.cosine_similarity(first, second, dim=0))
    weights = torch.sin(torch.stack([1 - shares, shares]) * angle) / torch.sin(angle)
    return weights.T @ torch.stack([first, second])


def walks(generator: Sampler, *, seed: int) -> bytes:
    """A PNG with a row for each of some classes, spread over all: from one noise to another, the same in each row."""
    count = min(generator.num_classes, MOST_WALKS)
    labels = torch.linspace(0, generator.num_classes - 1, count).round().int().tolist()
    ends = generator.noise([seed_of(seed, "walk", end) for end in range(2)])
    noise = slerp(ends[0], ends[1], torch.linspace(0, 1, STEPS))
    images = generator.render(noise.repeat(count, 1), [label for label in labels for _ in range(STEPS)])
    return png(grid(to_pixels(images), columns=STEPS))


def across(generator: Sampler, *, seed: int) -> bytes:
    """A PNG with a row for each of some noises and a column for each class."""
    count = min(generator.num_classes, MOST_CLASSES)
    noise = generator.noise([seed_of(seed, "across", row) for row in range(NOISES)])
    images = generator.render(noise.repeat_interleave(count, dim=0), list(range(count)) * NOISES)
    return png(grid(to_pixels(images), columns=count))
