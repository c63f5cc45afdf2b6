"""Two small convolutional networks, made for MNIST."""

from typing import Literal

from torch import nn

from finegrain.config import Count
from finegrain.models.scratch.parts import InChannels, grid_side, stacked

Activation = Literal["relu", "leaky_relu"]


def mnist_conv1(
    *, num_classes: int, image_size: Count = 28, in_channels: InChannels = 1, activation: Activation = "relu"
) -> nn.Sequential:
    """One 5×5 convolution, max-pooling by four, and the head.

    [B, 1, 28, 28] → [B, 10, 24, 24] → [B, 10, 6, 6] → [B, 360] → [B, K].

    Args:
        num_classes: K.
        image_size: S, at least 8.
        in_channels: C.
        activation: After the pooling.

    Raises:
        ConfigError: The image is too small.
    """
    side = grid_side("this network", image_size, [(5, 1, 0), (4, 4, 0)])
    block = nn.Sequential(nn.Conv2d(in_channels, 10, 5), nn.MaxPool2d(4), _act(activation), nn.Flatten())
    return stacked(in_channels, [block], nn.Linear(10 * side**2, num_classes), image_size=image_size)


def mnist_conv2(
    *, num_classes: int, image_size: Count = 28, in_channels: InChannels = 1, activation: Activation = "leaky_relu"
) -> nn.Sequential:
    """Two 5×5 convolutions with max-pooling by two, and two hidden layers.

    [B, 1, 28, 28] → [B, 10, 12, 12] → [B, 20, 4, 4] → [B, 320] → [B, 128] → [B, 32] → [B, K].

    Args:
        num_classes: K.
        image_size: S, at least 16.
        in_channels: C.
        activation: After each pooling and each hidden layer.

    Raises:
        ConfigError: The image is too small.
    """
    side = grid_side("this network", image_size, [(5, 1, 0), (2, 2, 0), (5, 1, 0), (2, 2, 0)])
    blocks = [
        nn.Sequential(nn.Conv2d(in_channels, 10, 5), nn.MaxPool2d(2), _act(activation)),
        nn.Sequential(nn.Conv2d(10, 20, 5), nn.MaxPool2d(2), _act(activation)),
        nn.Flatten(),
        nn.Sequential(nn.Linear(20 * side**2, 128), _act(activation)),
        nn.Sequential(nn.Linear(128, 32), _act(activation)),
    ]
    return stacked(in_channels, blocks, nn.Linear(32, num_classes), image_size=image_size)


def _act(activation: Activation) -> nn.Module:
    return nn.ReLU() if activation == "relu" else nn.LeakyReLU()
