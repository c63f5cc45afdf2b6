"""AlexNet (Krizhevsky, Sutskever & Hinton, NeurIPS 2012), its kernels and strides made for images of 32 pixels."""

from torch import nn

from finegrain.config import Count, Probability
from finegrain.models.scratch.parts import InChannels, grid_side, stacked, start


def alexnet(
    *, num_classes: int, image_size: Count = 32, in_channels: InChannels = 3, dropout: Probability = 0.5
) -> nn.Sequential:
    """Five convolutions, 96-256-384-384-256, and two hidden layers, 2304-4096-4096-K for images of 32 pixels.

    [B, C, 32, 32] → [B, 96, 15, 15] → [B, 256, 7, 7] → [B, 384, 7, 7] twice → [B, 256, 3, 3] → [B, 4096] twice
    → [B, K].

    Args:
        num_classes: K.
        image_size: S, at least 15.
        in_channels: C.
        dropout: Rate after each hidden layer.

    Raises:
        ConfigError: The image is too small.
    """
    side = grid_side("AlexNet", image_size, [(3, 2, 0)] * 3)
    blocks = [
        _convolution(in_channels, 96, 5, pool=True),
        _convolution(96, 256, 5, pool=True),
        _convolution(256, 384, 3),
        _convolution(384, 384, 3),
        _convolution(384, 256, 3, pool=True),
        nn.Flatten(),
        nn.Sequential(nn.Linear(256 * side**2, 4096), nn.ReLU(), nn.Dropout(dropout)),
        nn.Sequential(nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout(dropout)),
    ]
    network = stacked(in_channels, blocks, nn.Linear(4096, num_classes), image_size=image_size)
    start(network)
    return network


def _convolution(before: int, after: int, kernel_size: int, *, pool: bool = False) -> nn.Sequential:
    """[B, before, s, s] → [B, after, s, s], or with pooling [B, after, (s − 1)/2, (s − 1)/2]."""
    pooling = (nn.MaxPool2d(3, stride=2),) if pool else ()
    return nn.Sequential(nn.Conv2d(before, after, kernel_size, padding=kernel_size // 2), nn.ReLU(), *pooling)
