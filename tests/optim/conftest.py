from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Group:
    name: str
    module_paths: tuple[str, ...]


class TinyNet(nn.Module):
    """A token outside any module, a stem, two blocks and a head."""

    head_name = "head"

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.ones(1, 1, 3))
        self.stem = nn.Linear(3, 3)
        self.blocks = nn.ModuleList([nn.Sequential(nn.LayerNorm(3), nn.Linear(3, 3)) for _ in range(2)])
        self.head = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x) + self.token[0]
        for block in self.blocks:
            x = x + block(x)
        return self.head(x)

    def layer_groups(self) -> tuple[Group, ...]:
        blocks = [Group(f"block{i + 1}", (f"blocks.{i}",)) for i in range(2)]
        return (Group("stem", ("stem",)), *blocks, Group("head", ("head",)))


@pytest.fixture
def net() -> TinyNet:
    torch.manual_seed(0)
    return TinyNet()
