"""GoogLeNet (Szegedy et al., CVPR 2015) from Inception blocks, without its auxiliary heads."""

import torch
from torch import Tensor, nn

from finegrain.models.scratch.parts import InChannels, stacked, start


class Inception(nn.Module):
    """Four paths side by side: 1×1; 1×1 and 3×3; 1×1 and 5×5; 3×3 max-pooling and 1×1."""

    def __init__(self, before: int, one: int, three: tuple[int, int], five: tuple[int, int], pooled: int) -> None:
        """Name the channels.

        Args:
            before: Of what it reads.
            one: Of the first path.
            three: Of the 1×1 and the 3×3 convolution of the second path.
            five: Of the 1×1 and the 5×5 convolution of the third path.
            pooled: Of the fourth path.
        """
        super().__init__()
        self.paths = nn.ModuleList(
            [
                _convolution(before, one, 1),
                nn.Sequential(_convolution(before, three[0], 1), _convolution(*three, 3)),
                nn.Sequential(_convolution(before, five[0], 1), _convolution(*five, 5)),
                nn.Sequential(nn.MaxPool2d(3, stride=1, padding=1), _convolution(before, pooled, 1)),
            ]
        )
        self.channels: int = one + three[1] + five[1] + pooled

    def forward(self, grid: Tensor) -> Tensor:
        """Map [B, before, s, s] to [B, channels, s, s]."""
        return torch.cat([path(grid) for path in self.paths], dim=1)


def googlenet(*, num_classes: int, in_channels: InChannels = 3) -> nn.Sequential:
    """Nine Inception blocks in three stages.

    [B, C, S, S] → [B, 64, S/4, S/4] → [B, 192, S/8, S/8] → [B, 480, S/16, S/16] → [B, 832, S/32, S/32]
    → [B, 1024, S/32, S/32] → [B, 1024] → [B, K], each side rounded up. Any size; made for 96 and more.

    Args:
        num_classes: K.
        in_channels: C.
    """
    stem = nn.Sequential(nn.Conv2d(in_channels, 64, 7, stride=2, padding=3), nn.ReLU(), _halve())
    wider = nn.Sequential(_convolution(64, 64, 1), _convolution(64, 192, 3), _halve())
    third = Inception(192, 64, (96, 128), (16, 32), 32), Inception(256, 128, (128, 192), (32, 96), 64)
    fourth = (
        Inception(480, 192, (96, 208), (16, 48), 64),
        Inception(512, 160, (112, 224), (24, 64), 64),
        Inception(512, 128, (128, 256), (24, 64), 64),
        Inception(512, 112, (144, 288), (32, 64), 64),
        Inception(528, 256, (160, 320), (32, 128), 128),
    )
    fifth = Inception(832, 256, (160, 320), (32, 128), 128), Inception(832, 384, (192, 384), (48, 128), 128)
    average = nn.AdaptiveAvgPool2d(1), nn.Flatten()
    blocks = [stem, wider, *third[:-1], nn.Sequential(third[-1], _halve()), *fourth[:-1]]
    blocks += [nn.Sequential(fourth[-1], _halve()), fifth[0], nn.Sequential(fifth[1], *average)]
    network = stacked(in_channels, blocks, nn.Linear(fifth[1].channels, num_classes))
    start(network)
    return network


def _convolution(before: int, after: int, kernel_size: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(before, after, kernel_size, padding=kernel_size // 2), nn.ReLU())


def _halve() -> nn.MaxPool2d:
    return nn.MaxPool2d(3, stride=2, padding=1)
