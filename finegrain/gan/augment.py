"""What the discriminator sees in place of images: varied alike, real or generated, and differentiably."""

from dataclasses import dataclass

import torch
from torch import Tensor

from finegrain.config import Fraction, Probability


@dataclass(kw_only=True, slots=True)
class DiffAugment:
    """Differentiable augmentation (Zhao et al., NeurIPS 2020, arXiv:2006.10738); each image draws its own.

    As real and generated images are varied by the same distribution, the generator does not learn to make varied ones.
    """

    flip: Fraction = 0.5
    """Probability that a real image is mirrored left to right: these are then what the generator learns."""
    translation: Probability = 0.125
    """Largest shift as a fraction of the side, black coming in; 0: none."""
    cutout: Probability = 0.5
    """Side of a square that is blackened, as a fraction of the image's; 0: none."""
    color: bool = False
    """Change brightness, saturation and contrast: for a few hundred images, where colour does not tell classes."""

    def mirror(self, images: Tensor) -> Tensor:
        """Real images [B, 3, S, S], some mirrored."""
        return mirror(images, self.flip)

    def __call__(self, images: Tensor) -> Tensor:
        """`images` float32 [B, 3, S, S] in [−1, 1], varied; they themselves where nothing is on."""
        if self.color:
            images = _recolor(images)
        if self.translation:
            images = _translate(images, self.translation)
        if self.cutout:
            images = _cut_out(images, self.cutout)
        return images


def mirror(images: Tensor, share: float) -> Tensor:
    """`images` [B, 3, S, S], each mirrored left to right with probability `share`."""
    if not share:
        return images
    flipped = torch.rand(len(images), 1, 1, 1, device=images.device) < share
    return torch.where(flipped, images.flip(3), images)


def _recolor(images: Tensor) -> Tensor:
    brightness, saturation, contrast = torch.rand(3, len(images), 1, 1, 1, device=images.device)
    images = images + (brightness - 0.5)
    grey = images.mean(dim=1, keepdim=True)
    images = (images - grey) * (2 * saturation) + grey
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    recoloured: Tensor = (images - mean) * (contrast + 0.5) + mean
    return recoloured


def _translate(images: Tensor, most: float) -> Tensor:
    """Shift each image by whole pixels: rows and then columns picked by a product, which has a fast derivative."""
    side = images.shape[3]
    most_pixels = int(side * most + 0.5)
    shift = torch.randint(-most_pixels, most_pixels + 1, (2, len(images), 1, 1), device=images.device)
    place = torch.arange(side, device=images.device)
    down, right = (place[:, None] == place + shift).to(images.dtype)
    shifted: Tensor = torch.einsum("byi,bcij,bxj->bcyx", down, images, right)
    return shifted


def _cut_out(images: Tensor, share: float) -> Tensor:
    side = images.shape[3]
    hole = int(side * share + 0.5)
    start = torch.randint(0, side + (1 - hole % 2), (2, len(images), 1), device=images.device) - hole // 2
    place = torch.arange(side, device=images.device)
    rows, columns = (place >= start) & (place < start + hole)
    kept: Tensor = ~(rows[:, None, :, None] & columns[:, None, None, :])
    return images * kept
