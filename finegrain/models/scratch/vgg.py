"""VGG (Simonyan & Zisserman, ICLR 2015): blocks of 3×3 convolutions, by table."""

from itertools import pairwise

from torch import nn

from finegrain.config import Count, Probability
from finegrain.models.scratch.parts import InChannels, grid_side, stacked, start

_CHANNELS = (64, 128, 256, 512, 512)
CONVOLUTIONS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
"""How many there are in each of the five blocks, by depth: columns A, B, D and E of the paper's table 1."""


def vgg(
    depth: int,
    *,
    num_classes: int,
    image_size: Count = 224,
    in_channels: InChannels = 3,
    batch_norm: bool = False,
    dropout: Probability = 0.5,
) -> nn.Sequential:
    """Five blocks, each of which halves the image, and two hidden layers.

    [B, C, S, S] → [B, 64, S/2, S/2] → [B, 128, S/4, S/4] → [B, 256, S/8, S/8] → [B, 512, S/16, S/16]
    → [B, 512, S/32, S/32] → [B, 4096] twice → [B, K].

    Args:
        depth: 11, 13, 16 or 19 layers with weights.
        num_classes: K.
        image_size: S, at least 32.
        in_channels: C.
        batch_norm: Whether each convolution is followed by batch norm; the paper has none.
        dropout: Rate after each hidden layer.

    Raises:
        ConfigError: The image is too small.
    """
    side = grid_side(f"VGG-{depth}", image_size, [(2, 2, 0)] * len(_CHANNELS))
    blocks = [
        _block(before, after, count, batch_norm)
        for (before, after), count in zip(pairwise((in_channels, *_CHANNELS)), CONVOLUTIONS[depth], strict=True)
    ]
    hidden = [
        nn.Sequential(nn.Linear(before, 4096), nn.ReLU(), nn.Dropout(dropout))
        for before in (_CHANNELS[-1] * side**2, 4096)
    ]
    network = stacked(
        in_channels, [*blocks, nn.Flatten(), *hidden], nn.Linear(4096, num_classes), image_size=image_size
    )
    start(network)
    return network


def _block(before: int, after: int, count: int, batch_norm: bool) -> nn.Sequential:
    """[B, before, s, s] → [B, after, s/2, s/2]."""
    layers: list[nn.Module] = []
    for channels in (before, *(after,) * (count - 1)):
        layers.append(nn.Conv2d(channels, after, 3, padding=1))
        layers += [nn.BatchNorm2d(after)] if batch_norm else []
        layers.append(nn.ReLU())
    return nn.Sequential(*layers, nn.MaxPool2d(2))
