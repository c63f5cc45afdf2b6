"""A plain convolutional network: convolution, batch norm, ReLU and pooling, again and again."""

from torch import nn

from finegrain.config import Count, Probability
from finegrain.errors import ConfigError, fault
from finegrain.models.scratch.parts import InChannels, Sizes, grid_side, stacked


def cnn(
    *,
    num_classes: int,
    image_size: Count = 32,
    in_channels: InChannels = 3,
    channels: Sizes = (32, 64, 128),
    kernel_sizes: Count | Sizes = 3,
    batch_norm: bool = True,
    hidden: Count = 512,
    dropout: Probability = 0.5,
) -> nn.Sequential:
    """Each block halves the image; a hidden layer reads what is left, 2048-512-K for images of 32 pixels.

    [B, C, S, S] → [B, 32, S/2, S/2] → [B, 64, S/4, S/4] → [B, 128, S/8, S/8] → [B, 512] → [B, K].

    Args:
        num_classes: K.
        image_size: S, at least 2 to the power of the number of blocks for odd kernels.
        in_channels: C.
        channels: Of each block.
        kernel_sizes: Of each block, or one for all; padded by half.
        batch_norm: Whether each convolution is followed by batch norm.
        hidden: Features of the hidden layer.
        dropout: Rate before the head.

    Raises:
        ConfigError: The image is too small, or there are not as many kernels as blocks.
    """
    kernels = (kernel_sizes,) * len(channels) if isinstance(kernel_sizes, int) else kernel_sizes
    if not channels or len(kernels) != len(channels):
        what, expected = "the CNN needs a kernel size for each block", f"{max(len(channels), 1)} kernel sizes"
        remedy = "set model.args.channels and model.args.kernel_sizes to as many numbers"
        raise ConfigError(fault(what, got=str(kernels), expected=expected, remedy=remedy))
    steps = [step for kernel in kernels for step in ((kernel, 1, kernel // 2), (2, 2, 0))]
    side = grid_side("the CNN", image_size, steps)
    befores = (in_channels, *channels)
    blocks = [
        _block(before, after, kernel, batch_norm)
        for before, after, kernel in zip(befores, channels, kernels, strict=False)
    ]
    layers = (nn.Flatten(), nn.Linear(channels[-1] * side**2, hidden), nn.ReLU(), nn.Dropout(dropout))
    return stacked(
        in_channels, [*blocks, nn.Sequential(*layers)], nn.Linear(hidden, num_classes), image_size=image_size
    )


def _block(before: int, after: int, kernel_size: int, batch_norm: bool) -> nn.Sequential:
    """[B, before, s, s] → [B, after, s/2, s/2]."""
    norm = (nn.BatchNorm2d(after),) if batch_norm else ()
    convolution = nn.Conv2d(before, after, kernel_size, padding=kernel_size // 2)
    return nn.Sequential(convolution, *norm, nn.ReLU(), nn.MaxPool2d(2))
