"""Folded networks compute what they computed, and only what can be folded is."""

import copy

import pytest
import torch
from feature_set import classifier
from torch import Tensor, nn

from finegrain.features.folding import fold_batch_norm


def count_norms(network: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())


@pytest.mark.parametrize(
    ("name", "folded", "left"),
    [
        ("torchvision/resnet18", 20, 0),
        ("timm/test_resnet", 15, 0),
        ("timm/mobilenetv2_035", 52, 0),
        ("timm/test_vit", 0, 0),
    ],
)
@torch.no_grad()
def test_folding_changes_no_number(name: str, folded: int, left: int) -> None:
    model = classifier(name, image_size=None if "vit" in name else 64).eval()
    size = model.preprocessing.image_size
    twin = copy.deepcopy(model)
    assert fold_batch_norm(twin.network, torch.randn(1, 3, size, size)) == folded
    assert count_norms(twin) == left
    images = torch.randn(2, 3, size, size)
    expected = model.forward_features(images)
    assert (twin.forward_features(images) - expected).norm() <= 1e-5 * expected.norm()


class Odd(nn.Module):
    """Convolutions whose norms must stay, and one, `plain`, whose norm need not."""

    def __init__(self) -> None:
        super().__init__()
        names = ("plain", "read_twice", "called_twice", "activated", "tied", "tied_too")
        self.conv = nn.ModuleDict({name: nn.Conv2d(3, 3, 1) for name in names})
        self.norm = nn.ModuleDict({name: nn.BatchNorm2d(3) for name in names})
        self.conv["tied_too"].weight = self.conv["tied"].weight
        self.norm["own_statistics"] = nn.BatchNorm2d(3, track_running_stats=False)
        self.conv["own_statistics"] = nn.Conv2d(3, 3, 1, bias=False)
        for norm in self.norm.values():
            if norm.track_running_stats:
                nn.init.uniform_(norm.running_mean)
                nn.init.uniform_(norm.running_var, 0.5, 2)

    def forward(self, images: Tensor) -> Tensor:
        x = self.norm["plain"](self.conv["plain"](images))
        y = self.conv["read_twice"](x)
        x = self.norm["read_twice"](y) + y
        for _ in range(2):
            x = self.norm["called_twice"](self.conv["called_twice"](x))
        x = self.norm["activated"](self.conv["activated"](x).relu())
        for name in ("tied", "tied_too", "own_statistics"):
            x = self.norm[name](self.conv[name](x))
        return x


@torch.no_grad()
def test_only_a_norm_that_alone_reads_a_convolution_is_folded() -> None:
    torch.manual_seed(0)
    network = Odd().eval()
    images = torch.randn(2, 3, 4, 4)
    expected = network(images)
    assert fold_batch_norm(network, images) == 1
    assert isinstance(network.norm["plain"], nn.Identity)
    torch.testing.assert_close(network(images), expected)


@torch.no_grad()
def test_norms_that_train_stay() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    assert fold_batch_norm(network.train(), torch.randn(2, 3, 4, 4)) == 0


@torch.no_grad()
def test_a_norm_without_gain_is_folded() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 1, bias=False), nn.BatchNorm2d(4, affine=False)).eval()
    nn.init.uniform_(network[1].running_mean)
    images = torch.randn(2, 3, 4, 4)
    expected = network(images)
    assert fold_batch_norm(network, images) == 1
    torch.testing.assert_close(network(images), expected)
