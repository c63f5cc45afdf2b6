"""What the networks of the zoo have in common: channels, sizes, first weights, and the order of their parts."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Annotated, Literal

from torch import Tensor, nn

from finegrain.config import Range
from finegrain.errors import ConfigError, fault

InChannels = Literal[1, 3]
"""Channels that a network reads: grey, or red, green and blue."""
Sizes = tuple[Annotated[int, Range(least=1)], ...]
"""Numbers of channels or features, one a layer."""
Step = tuple[int, int, int]
"""Kernel size, stride and padding of a convolution or pooling."""


class Channels(nn.Module):
    """Gives a network the channels that it reads, of images of the one size that it takes, if it takes only one.

    The project's images have three; those of a grey image are equal, so that a network of one channel, which reads
    their mean, sees the image as it is.
    """

    def __init__(self, in_channels: InChannels, image_size: int | None = None) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.image_size = image_size

    def forward(self, images: Tensor) -> Tensor:
        """Map images [B, 1, S, S] or [B, 3, S, S] to [B, in_channels, S, S].

        Raises:
            ConfigError: They have another number of channels, or another size than the network takes.
        """
        channels, *sides = images.shape[1:]
        if channels not in (1, 3):
            what, remedy = "images of a number of channels that the network cannot take", "give it grey or RGB images"
            raise ConfigError(fault(what, got=channels, expected="1 or 3", remedy=remedy))
        if self.image_size and sides != [self.image_size] * 2:
            what, expected = "images of a size that the network cannot take", f"{[self.image_size] * 2}"
            remedy = "resize them, or build the network for them by image_size"
            raise ConfigError(fault(what, got=sides, expected=expected, remedy=remedy))
        if channels == self.in_channels:
            return images
        return images.mean(1, keepdim=True) if self.in_channels == 1 else images.expand(-1, 3, -1, -1)

    def extra_repr(self) -> str:
        """How many are read."""
        return str(self.in_channels)


def stacked(
    in_channels: InChannels, blocks: Sequence[nn.Module], head: nn.Module, *, image_size: int | None = None
) -> nn.Sequential:
    """A network that runs its blocks one after the other; each is a group of layers to freeze or to slow down.

    Args:
        in_channels: C.
        blocks: In order.
        head: Linear.
        image_size: The one side in pixels that it takes, None for any.
    """
    parts = {"channels": Channels(in_channels, image_size), "blocks": nn.Sequential(*blocks), "head": head}
    return nn.Sequential(OrderedDict(parts))


def grid_side(title: str, image_size: int, steps: Sequence[Step]) -> int:
    """Side of the grid that convolutions and poolings leave of an image.

    Args:
        title: The network in messages.
        image_size: S, side of the image in pixels.
        steps: In order.

    Raises:
        ConfigError: Nothing is left; says from which size on something is.
    """
    least, side = 1, image_size
    for kernel, stride, padding in reversed(steps):
        least = max((least - 1) * stride + kernel - 2 * padding, 1)
    if image_size < least:
        what, expected = f"{title} cannot take images so small", f"at least {least} pixels a side"
        raise ConfigError(fault(what, got=image_size, expected=expected, remedy=f"set model.image_size={least}"))
    for kernel, stride, padding in steps:
        side = (side + 2 * padding - kernel) // stride + 1
    return side


def num_patches(title: str, image_size: int, patch_size: int) -> int:
    """Patches of an image, all of it covered.

    Raises:
        ConfigError: The image does not divide into patches.
    """
    if image_size % patch_size:
        nearest = max(image_size // patch_size, 1) * patch_size
        what, expected = f"{title} cannot divide such images into patches", f"a multiple of {patch_size} pixels a side"
        raise ConfigError(fault(what, got=image_size, expected=expected, remedy=f"set model.image_size={nearest}"))
    return (image_size // patch_size) ** 2


def start(network: nn.Module, *, gain: Literal["relu", "sigmoid"] = "relu") -> None:
    """Draw the first weights of convolutions and linear layers so that signals keep their size; biases are zero.

    By He et al. (ICCV 2015) before ReLUs, by Glorot & Bengio (AISTATS 2010) before sigmoids: torch's own are smaller,
    and deep networks without norms do not learn from them.
    """
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            if gain == "relu":
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            else:
                nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
