"""How near a generated image comes to the train images of its class, by thumbnails that are kept with the generator."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from finegrain.data.feed import Feed

SIDE = 8
"""Pixels of a thumbnail's side: few enough that noise and small shifts hardly count."""
MOST = 20_000
"""Train images that are kept, evenly spaced, at 192 bytes each."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Thumbnails:
    """Train images in small."""

    pixels: Tensor
    """uint8 [N, 3 · SIDE²]."""
    labels: Tensor
    """int64 [N]."""

    def nearest(self, images: Tensor, labels: Sequence[int]) -> list[float | None]:
        """Root mean square difference from the nearest thumbnail of the same class, in [0, 1]; None: it has none.

        Mirrored or not: train images are learned from either way.

        Args:
            images: Float [B, 3, S, S] in [-1, 1].
            labels: Of their classes.
        """
        found: list[float | None] = []
        small = thumbnails(images).float() / 255
        mirrored = small.view(-1, 3, SIDE, SIDE).flip(3).flatten(1)
        for rows, label in zip(torch.stack([small, mirrored], dim=1), labels, strict=True):
            others = self.pixels[self.labels == label].float() / 255
            nearest = (others[:, None] - rows).square().mean(dim=2).sqrt().min() if len(others) else None
            found.append(round(float(nearest), 4) if nearest is not None else None)
        return found


def thumbnails(images: Tensor) -> Tensor:
    """Images float [B, 3, S, S] in [-1, 1] as uint8 [B, 3 · SIDE²], each pixel the mean of an area."""
    small = functional.interpolate(images.float().cpu(), (SIDE, SIDE), mode="area").flatten(1)
    return ((small + 1) * 127.5).round().clamp(0, 255).byte()


def thumbnails_of(feed: Feed) -> Thumbnails:
    """Those of all images that `feed` gives, float [B, 3, S, S] in [-1, 1]."""
    parts = [(thumbnails(inputs.views[0]), inputs.labels) for inputs in feed.epoch(0)]
    return Thumbnails(pixels=torch.cat([part for part, _ in parts]), labels=torch.cat([of for _, of in parts]))
