"""The networks of `finegrain.mytorch`, whose forward and backward passes are computed by NumPy."""

from typing import Literal

from torch import nn

from finegrain.config import Count
from finegrain.models import numpy_layers
from finegrain.models.scratch.parts import InChannels, stacked
from finegrain.mytorch import networks


def mytorch_fcn(*, num_classes: int, image_size: Count = 28, in_channels: InChannels = 1) -> nn.Sequential:
    """See `mytorch.networks.fcn`."""
    network = networks.fcn(numpy_layers, num_classes=num_classes, image_size=image_size, in_channels=in_channels)
    *blocks, head = network
    return stacked(in_channels, blocks, head, image_size=image_size)


def mytorch_lenet(
    *,
    num_classes: int,
    image_size: Count = 28,
    in_channels: InChannels = 1,
    activation: Literal["Sigmoid", "ReLU", "Tanh"] = "ReLU",
    batch_norm: bool = False,
) -> nn.Sequential:
    """See `mytorch.networks.lenet`.

    Raises:
        ConfigError: The image is too small.
    """
    network = networks.lenet(
        numpy_layers,
        num_classes=num_classes,
        image_size=image_size,
        in_channels=in_channels,
        activation=activation,
        batch_norm=batch_norm,
    )
    *blocks, head = network
    return stacked(in_channels, blocks, head, image_size=image_size)
