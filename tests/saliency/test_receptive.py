"""Receptive fields of networks whose fields are known, and the networks that have none."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from finegrain.models.classifier import Classifier
from finegrain.models.config import ModelConfig
from finegrain.preprocessing import Preprocessing
from finegrain.saliency.receptive import MOST_STAGES, ReceptiveField, receptive_fields, smallest_square

SIZE = 33


def classifier(*layers: nn.Module, channels: int) -> Classifier:
    """These layers, then the mean over the grid and a head."""
    pooling = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    network = nn.Sequential(*layers, pooling, nn.Linear(channels, 2))
    return Classifier(
        network,
        architecture="own/stack",
        preprocessing=Preprocessing(
            mean=(0, 0, 0), std=(1, 1, 1), image_size=SIZE, resize_size=SIZE, interpolation="bilinear"
        ),
        num_classes=2,
        head=str(len(network) - 1),
        matcher={"stem": r"^0", "blocks": r"^(\d+)"},
    )


def conv(before: int, after: int = 4, kernel: int = 3, *, weight: float | None = 0.1, **options) -> nn.Conv2d:
    """A convolution that keeps the size where it can, of equal weights; None: random ones."""
    layer = nn.Conv2d(before, after, kernel, padding=options.get("dilation", 1) * (kernel // 2), **options)
    if weight is not None:
        nn.init.constant_(layer.weight, weight)
    return layer


def fields(model: Classifier, count: int = 4) -> tuple[ReceptiveField, ...]:
    size = model.preprocessing.image_size
    return receptive_fields(model, torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(0)))


@pytest.mark.parametrize("depth", [1, 3, 5])
def test_a_stack_of_convolutions_sees_two_pixels_more_each(depth: int) -> None:
    layers = [layer for number in range(depth) for layer in (conv(3 if number == 0 else 4), nn.ReLU())]
    (field,) = fields(classifier(*layers, channels=4))
    middle = SIZE // 2
    assert (field.cells, field.stage) == (SIZE, str(2 * depth - 1))
    assert field.reach == (middle - depth, middle - depth, 2 * depth + 1, 2 * depth + 1)
    # Equal positive weights: the influence is the box filter folded with itself, of which the corners count least.
    once = np.ones(1)
    for _ in range(depth):
        once = np.convolve(once, np.ones(3))
    folded = np.outer(once, once)
    inside = field.influence[middle - depth : middle + depth + 1, middle - depth : middle + depth + 1]
    np.testing.assert_allclose(inside / inside.sum(), folded / folded.sum(), rtol=1e-4)
    assert field.core[2] == {1: 3, 3: 7, 5: 9}[depth]  # (25 / 27)² and (231 / 243)² are too little


@pytest.mark.parametrize(
    ("layers", "sides"),
    [
        ((conv(3), conv(4, stride=2), conv(4), conv(4, stride=2)), [3, 9, 13]),
        ((conv(3, dilation=4), conv(4, dilation=2)), [13]),
        ((conv(3), nn.MaxPool2d(2), conv(4), nn.MaxPool2d(2), conv(4)), [3, 8, 18]),
        ((conv(3, kernel=7, stride=2), nn.MaxPool2d(3, 2, 1), conv(4), conv(4)), [7, 27]),
    ],
    ids=["stride", "dilation", "pooling", "the stem of a ResNet"],
)
def test_the_arithmetic_of_strides_and_dilation(layers: tuple[nn.Module, ...], sides: list[int]) -> None:
    found = fields(classifier(*layers, channels=4))
    reaches = [field.reach for field in found]
    assert [max(width, height) for _, _, width, height in reaches] == sides
    assert all(box[0] + box[2] <= SIZE for box in reaches)


def test_a_field_beyond_the_image_is_clipped_to_it() -> None:
    (field,) = fields(classifier(conv(3, kernel=31), conv(4, kernel=9), channels=4))
    assert field.reach == (0, 0, SIZE, SIZE)


def test_dead_units_and_zero_weights_do_not_narrow_the_theoretical_field() -> None:
    """Only the middle weight of the first layer is not zero, so no gradient comes from elsewhere."""
    first = conv(3, weight=0.0)
    nn.init.constant_(first.weight[:, :, 1, 1], 1.0)
    (field,) = fields(classifier(first, nn.ReLU(), conv(4), channels=4))
    assert np.count_nonzero(field.influence) == 9
    assert (field.reach[2:], field.core[2:]) == ((5, 5), (3, 3))


def test_a_network_cut_off_from_the_image_shows_nothing() -> None:
    assert not fields(classifier(conv(3, weight=0.0), nn.ReLU(), channels=4))


def test_at_most_six_stages_from_stem_to_head() -> None:
    layers = [nn.Conv2d(3 if number == 0 else 4, 4, 3) for number in range(10)]
    found = fields(classifier(*layers, channels=4))
    cells = [field.cells for field in found]
    assert len(found) == MOST_STAGES
    assert (cells[0], cells[-1]) == (SIZE - 2, SIZE - 20)
    assert cells == sorted(cells, reverse=True)
    assert [field.reach[2] for field in found] == [SIZE + 1 - count for count in cells]


@pytest.mark.parametrize(
    ("name", "size", "expected"),
    [
        ("scratch/lenet", 28, {28: 5, 14: 6, 10: 14, 5: 16}),
        ("scratch/mytorch_lenet", 28, {28: 5, 14: 6, 10: 14, 5: 16}),
        ("scratch/resnet8", 28, {28: 9, 14: 15, 7: 26}),
        ("timm/test_resnet", 64, None),
        ("timm/test_convnext", 64, None),
    ],
)
def test_networks_by_name(name: str, size: int, expected: dict[int, int] | None) -> None:
    """LeNet's fields by hand: 5, + 1, + 4 · 2, + 1 · 2; ResNet-8's last of 27 is clipped by a pixel."""
    torch.manual_seed(0)
    found = fields(ModelConfig(name=name, image_size=size).build(num_classes=3))
    if expected is not None:
        assert {field.cells: max(field.reach[2:]) for field in found} == expected
    assert len(found) > 1
    for before, after in pairwise(found):
        assert before.cells > after.cells
        assert before.reach[2] <= after.reach[2]
    for field in found:
        left, top, width, height = field.reach
        assert field.influence.shape == (size, size)
        inside = field.influence[top : top + height, left : left + width]
        assert np.count_nonzero(inside) == np.count_nonzero(field.influence)


def test_a_stage_may_give_more_than_its_grid() -> None:
    class Pair(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = conv(4, stride=2)

        def forward(self, grid: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            grid = self.inner(grid)
            return grid * 2, grid.mean((2, 3))

    class Mean(nn.Module):
        def forward(self, pair: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
            return pair[0].mean((2, 3), keepdim=True)

    model = classifier(conv(3), Pair(), Mean(), channels=4)
    found = fields(model)
    assert [(field.cells, field.reach[2:]) for field in found] == [(33, (3, 3)), (17, (5, 5))]


@pytest.mark.parametrize("name", ["scratch/mlp", "scratch/patch_lstm", "scratch/nanovit", "scratch/mnist_vit"])
def test_networks_without_a_grid_before_the_head_have_none(name: str) -> None:
    args = {"patch_size": 4} if name.endswith("vit") else {}
    assert fields(ModelConfig(name=name, image_size=8, args=args).build(num_classes=3)) == ()


def test_the_network_is_as_it_was() -> None:
    model = ModelConfig(name="scratch/cnn", image_size=16).build(num_classes=3)
    model.set_trainable(("network.blocks.2", "network.head"), boundary="network.blocks.2")
    model.train()
    for parameter in model.trainable_parameters():
        parameter.grad = torch.ones_like(parameter)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    assert fields(model)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert [module.training for module in model.modules()] == modes
    assert [name for name, one in model.named_parameters() if one.requires_grad] == [
        name for name, one in model.named_parameters() if one.grad is not None
    ]
    assert all(bool((one.grad == 1).all()) for one in model.trainable_parameters() if one.grad is not None)
    assert not any(module._forward_hooks for module in model.network.modules())


def test_the_smallest_square_holds_the_share() -> None:
    values = np.zeros((9, 9))
    values[2:5, 6:9] = 1
    assert smallest_square(values, 0.95) == (6, 2, 3, 3)
    values[8, 0] = 0.4  # 4.3 % of all
    assert smallest_square(values, 0.95) == (6, 2, 3, 3)
    assert smallest_square(values, 0.96) == (0, 0, 9, 9)
    assert smallest_square(np.ones((4, 4)), 1.0) == (0, 0, 4, 4)
    assert smallest_square(np.eye(1), 0.5) == (0, 0, 1, 1)
