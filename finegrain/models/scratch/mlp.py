"""A multi-layer perceptron on pixels."""

from itertools import pairwise

from torch import nn

from finegrain.config import Count, Probability
from finegrain.models.scratch.parts import InChannels, Sizes, stacked


def mlp(
    *,
    num_classes: int,
    image_size: Count = 32,
    in_channels: InChannels = 3,
    hidden: Sizes = (512, 256),
    dropout: Probability = 0.0,
) -> nn.Sequential:
    """Linear layers with ReLUs between them, 3072-512-256-K for RGB images of 32 pixels.

    [B, C, S, S] → [B, C·S·S] → [B, H] for each H of `hidden` → [B, K]. Any size.

    Args:
        num_classes: K.
        image_size: S.
        in_channels: C.
        hidden: Features of each hidden layer.
        dropout: Rate after each hidden layer.
    """
    widths = (in_channels * image_size**2, *hidden)
    layers = [
        nn.Sequential(nn.Linear(before, after), nn.ReLU(), nn.Dropout(dropout)) for before, after in pairwise(widths)
    ]
    return stacked(in_channels, [nn.Flatten(), *layers], nn.Linear(widths[-1], num_classes), image_size=image_size)
