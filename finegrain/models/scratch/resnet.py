"""Residual networks (He et al., CVPR 2016) for small images: a 3×3 stem that keeps their size, no max-pooling."""

from itertools import pairwise

from torch import Tensor, nn

from finegrain.models.scratch.parts import InChannels, stacked, start

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
"""How many there are in each of the four stages, by depth."""
_BOTTLENECK = 4
"""How many times the width of a bottleneck's 3×3 convolution its output has in channels; from depth 50 on."""


class Residual(nn.Module):
    """ReLU(body(x) + shortcut(x))."""

    def __init__(self, body: nn.Module, shortcut: nn.Module) -> None:
        super().__init__()
        self.body = body
        self.shortcut = shortcut
        self.relu = nn.ReLU()

    def forward(self, grid: Tensor) -> Tensor:
        """Map [B, before, s, s] to [B, after, s/stride, s/stride]."""
        output: Tensor = self.relu(self.body(grid) + self.shortcut(grid))
        return output


def resnet(depth: int, *, num_classes: int, in_channels: InChannels = 3) -> nn.Sequential:
    """Four stages of basic blocks, or from depth 50 on of bottleneck blocks, which have four times the channels.

    [B, C, S, S] → [B, 64, S, S] → [B, 64, S, S] → [B, 128, S/2, S/2] → [B, 256, S/4, S/4] → [B, 512, S/8, S/8]
    → [B, 512] → [B, K]. Any size.

    Args:
        depth: 18, 34, 50, 101 or 152 layers with weights.
        num_classes: K.
        in_channels: C.
    """
    widening = _BOTTLENECK if depth >= 50 else 1
    outputs = [64 * 2**number * widening for number in range(4)]
    stages = []
    for number, (before, after) in enumerate(pairwise((64, *outputs))):
        blocks = [_block(before, after, stride=1 if number == 0 else 2, widening=widening)]
        blocks += [_block(after, after, stride=1, widening=widening) for _ in range(BLOCKS[depth][number] - 1)]
        stages.append(nn.Sequential(*blocks))
    stem = nn.Sequential(*_normed(in_channels, 64, 3), nn.ReLU())
    return _network(in_channels, [stem, *stages], outputs[-1], num_classes)


def resnet8(*, num_classes: int, in_channels: InChannels = 1) -> nn.Sequential:
    """Three stages of one basic block, 16-32-64; where the shape changes, the shortcut is a 3×3 convolution.

    [B, C, S, S] → [B, 16, S, S] → [B, 16, S, S] → [B, 32, S/2, S/2] → [B, 64, S/4, S/4] → [B, 64] → [B, K]. Any size.

    Args:
        num_classes: K.
        in_channels: C.
    """
    pooling = nn.MaxPool2d(3, stride=1, padding=1)
    stem = nn.Sequential(*_normed(in_channels, 16, 3, bias=True), nn.ReLU(), pooling)
    stages = []
    for before, after in ((16, 16), (16, 32), (32, 64)):
        stride = 1 if before == after else 2
        shortcut: nn.Module = nn.Identity()
        if before != after:
            shortcut = nn.Sequential(*_normed(before, after, 3, stride=stride, bias=True))
        stages.append(Residual(_basic(before, after, stride), shortcut))
    return _network(in_channels, [stem, *stages], 64, num_classes)


def _network(in_channels: InChannels, blocks: list[nn.Module], features: int, num_classes: int) -> nn.Sequential:
    average = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    network = stacked(in_channels, [*blocks, average], nn.Linear(features, num_classes))
    start(network)
    return network


def _block(before: int, after: int, *, stride: int, widening: int) -> Residual:
    """[B, before, s, s] → [B, after, s/stride, s/stride]; a 1×1 shortcut where the shape changes."""
    body = _basic(before, after, stride) if widening == 1 else _bottleneck(before, after, stride)
    shortcut: nn.Module = nn.Identity()
    if stride > 1 or before != after:
        shortcut = nn.Sequential(*_normed(before, after, 1, stride=stride))
    return Residual(body, shortcut)


def _basic(before: int, after: int, stride: int) -> nn.Sequential:
    return nn.Sequential(*_normed(before, after, 3, stride=stride), nn.ReLU(), *_normed(after, after, 3))


def _bottleneck(before: int, after: int, stride: int) -> nn.Sequential:
    width = after // _BOTTLENECK
    narrow = (*_normed(before, width, 1), nn.ReLU(), *_normed(width, width, 3, stride=stride), nn.ReLU())
    return nn.Sequential(*narrow, *_normed(width, after, 1))


def _normed(before: int, after: int, kernel_size: int, *, stride: int = 1, bias: bool = False) -> list[nn.Module]:
    """A convolution and its batch norm."""
    convolution = nn.Conv2d(before, after, kernel_size, stride, padding=kernel_size // 2, bias=bias)
    return [convolution, nn.BatchNorm2d(after)]
