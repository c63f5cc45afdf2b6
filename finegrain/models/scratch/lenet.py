"""LeNet-5 (LeCun et al., Gradient-based learning applied to document recognition, 1998) and its variants."""

from typing import Literal

from torch import nn

from finegrain.config import Count, CountOrZero
from finegrain.models.scratch.parts import InChannels, grid_side, stacked, start


def lenet(
    *,
    num_classes: int,
    image_size: Count = 28,
    in_channels: InChannels = 1,
    activation: Literal["sigmoid", "relu"] = "sigmoid",
    batch_norm: bool = False,
    padding: CountOrZero = 2,
) -> nn.Sequential:
    """Two convolutions with average pooling, two hidden layers.

    With images of 28 pixels and a padding of 2: [B, 1, 28, 28] → [B, 6, 14, 14] → [B, 16, 5, 5] → [B, 120] → [B, 84]
    → [B, K]; without padding the second is [B, 6, 12, 12] and the third [B, 16, 4, 4].

    Args:
        num_classes: K.
        image_size: S, at least 12, without padding 16.
        in_channels: C.
        activation: After each layer but the last.
        batch_norm: Whether batch norm stands before each activation.
        padding: Of the first convolution.

    Raises:
        ConfigError: The image is too small.
    """
    side = grid_side("LeNet", image_size, [(5, 1, padding), (2, 2, 0), (5, 1, 0), (2, 2, 0)])
    act = nn.Sigmoid if activation == "sigmoid" else nn.ReLU

    def convolution(before: int, after: int, padding: int) -> nn.Sequential:
        norm = (nn.BatchNorm2d(after),) if batch_norm else ()
        return nn.Sequential(nn.Conv2d(before, after, 5, padding=padding), *norm, act(), nn.AvgPool2d(2))

    def linear(before: int, after: int) -> nn.Sequential:
        norm = (nn.BatchNorm1d(after),) if batch_norm else ()
        return nn.Sequential(nn.Linear(before, after), *norm, act())

    blocks = [
        convolution(in_channels, 6, padding),
        convolution(6, 16, 0),
        nn.Flatten(),
        linear(16 * side**2, 120),
        linear(120, 84),
    ]
    network = stacked(in_channels, blocks, nn.Linear(84, num_classes), image_size=image_size)
    start(network, gain=activation)
    return network
