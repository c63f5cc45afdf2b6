"""Networks that are written once, for torch's `nn` as for ours: `lenet(nn)` is of whichever is passed."""

from typing import Any

from finegrain.errors import ConfigError, fault


def fcn(nn: Any, *, num_classes: int = 10, image_size: int = 28, in_channels: int = 1) -> Any:
    """Fully connected with ReLU, 784-256-128-K for [B, 1, 28, 28]; 235,146 parameters for 10 classes.

    Args:
        nn: `torch.nn`, `finegrain.mytorch.nn`, or a namespace of the same layers.
        num_classes: K.
        image_size: S.
        in_channels: C of images [B, C, S, S].
    """
    return nn.Sequential(
        nn.Flatten(),
        nn.Sequential(nn.Linear(in_channels * image_size**2, 256), nn.ReLU()),
        nn.Sequential(nn.Linear(256, 128), nn.ReLU()),
        nn.Linear(128, num_classes),
    )


def lenet(
    nn: Any,
    *,
    num_classes: int = 10,
    image_size: int = 28,
    in_channels: int = 1,
    activation: str = "Sigmoid",
    batch_norm: bool = False,
) -> Any:
    """LeNet-5 (LeCun et al., 1998); 61,706 parameters for 10 classes.

    [B, 1, 28, 28] → [B, 6, 14, 14] → [B, 16, 5, 5] → [B, 120] → [B, 84] → [B, K].

    Args:
        nn: `torch.nn`, `finegrain.mytorch.nn`, or a namespace of the same layers.
        num_classes: K.
        image_size: S, at least 12.
        in_channels: C of images [B, C, S, S].
        activation: Name of a layer of `nn`.
        batch_norm: Normalise what the convolutions give; 44 parameters more.

    Raises:
        ConfigError: The image is too small.
    """
    act = getattr(nn, activation)
    side = (image_size // 2 - 4) // 2
    if side < 1:
        what, expected = "LeNet cannot take images so small", "at least 12 pixels a side"
        remedy = "set image_size=12, in a recipe model.image_size"
        raise ConfigError(fault(what, got=image_size, expected=expected, remedy=remedy))

    def convolution(before: int, after: int, padding: int) -> Any:
        norm = [nn.BatchNorm2d(after)] if batch_norm else []
        return nn.Sequential(nn.Conv2d(before, after, 5, padding=padding), *norm, act(), nn.AvgPool2d(2))

    return nn.Sequential(
        convolution(in_channels, 6, 2),
        convolution(6, 16, 0),
        nn.Flatten(),
        nn.Sequential(nn.Linear(16 * side**2, 120), act()),
        nn.Sequential(nn.Linear(120, 84), act()),
        nn.Linear(84, num_classes),
    )
