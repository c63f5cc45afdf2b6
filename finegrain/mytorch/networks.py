"""Networks that are written once, for torch's `nn` as for ours: `lenet(nn)` is of whichever is passed."""

from types import ModuleType
from typing import Any


def fcn(nn: ModuleType, *, num_classes: int = 10) -> Any:
    """Fully connected, for grey images [B, 1, 28, 28]: 784-256-128-K with ReLU; 235,146 parameters for 10 classes."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(784, 256),
        nn.ReLU(),
        nn.Linear(256, 128),
        nn.ReLU(),
        nn.Linear(128, num_classes),
    )


def lenet(nn: ModuleType, *, num_classes: int = 10, activation: str = "Sigmoid", batch_norm: bool = False) -> Any:
    """LeNet-5 (LeCun et al., 1998) for grey images [B, 1, 28, 28]; 61,706 parameters for 10 classes.

    Args:
        nn: `torch.nn` or `finegrain.mytorch.nn`.
        num_classes: K.
        activation: Name of a layer of `nn`.
        batch_norm: Normalise what the convolutions give; 44 parameters more.
    """
    active = getattr(nn, activation)

    def norm(channels: int) -> list[Any]:
        return [nn.BatchNorm2d(channels)] if batch_norm else []

    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), *norm(6), active(), nn.AvgPool2d(2),  # [B, 6, 14, 14]
        nn.Conv2d(6, 16, 5), *norm(16), active(), nn.AvgPool2d(2),  # [B, 16, 5, 5]
        nn.Flatten(),
        nn.Linear(400, 120), active(),
        nn.Linear(120, 84), active(),
        nn.Linear(84, num_classes),
    )  # fmt: skip
