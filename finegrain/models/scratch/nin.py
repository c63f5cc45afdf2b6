"""Network in network (Lin, Chen & Yan, ICLR 2014): 1×1 convolutions after each, and no hidden layer."""

from torch import nn

from finegrain.config import Count, Probability
from finegrain.models.scratch.parts import InChannels, grid_side, stacked, start


def nin(
    *, num_classes: int, image_size: Count = 224, in_channels: InChannels = 3, dropout: Probability = 0.5
) -> nn.Sequential:
    """Four blocks, 11/4·96, 5·256, 3·384 and 3·W, each with two 1×1 convolutions, and the average over the image.

    With images of 224 pixels: [B, C, 224, 224] → [B, 96, 26, 26] → [B, 256, 12, 12] → [B, 384, 5, 5] → [B, W] → [B, K].

    W is K, but at least 10: of fewer channels all may be dead from the start. The last 1×1 convolution is the head. It
    is a linear layer that runs after the average, which gives the same and costs less; no ReLU follows it, so that a
    logit can be negative.

    Args:
        num_classes: K.
        image_size: S, at least 67.
        in_channels: C.
        dropout: Rate before the last block.

    Raises:
        ConfigError: The image is too small.
    """
    grid_side("NiN", image_size, [(11, 4, 0), (3, 2, 0), (3, 2, 0), (3, 2, 0)])
    width = max(num_classes, 10)
    last = nn.Conv2d(384, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, width, 1), nn.ReLU()
    blocks = [
        nn.Sequential(*_mlpconv(in_channels, 96, 11, stride=4), nn.MaxPool2d(3, stride=2)),
        nn.Sequential(*_mlpconv(96, 256, 5, padding=2), nn.MaxPool2d(3, stride=2)),
        nn.Sequential(*_mlpconv(256, 384, 3, padding=1), nn.MaxPool2d(3, stride=2), nn.Dropout(dropout)),
        nn.Sequential(*last, nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    ]
    network = stacked(in_channels, blocks, nn.Linear(width, num_classes))
    start(network)
    return network


def _mlpconv(before: int, after: int, kernel_size: int, *, stride: int = 1, padding: int = 0) -> list[nn.Module]:
    """A convolution and two of 1×1, a small network at each place of the image."""
    convolutions = (
        nn.Conv2d(before, after, kernel_size, stride, padding),
        nn.Conv2d(after, after, 1),
        nn.Conv2d(after, after, 1),
    )
    return [layer for convolution in convolutions for layer in (convolution, nn.ReLU())]
