"""The first layer's weights as small images, of every kind of network."""

import pytest
import torch

from finegrain.models.config import ModelConfig
from finegrain.models.first_layer import first_kernels


@pytest.mark.parametrize(
    ("name", "args", "shape"),
    [
        ("scratch/lenet", {}, (6, 1, 5, 5)),
        ("scratch/cnn", {}, (32, 3, 3, 3)),
        ("scratch/mlp", {}, (512, 3, 32, 32)),
        ("scratch/mlp", {"in_channels": 1}, (512, 1, 32, 32)),
        ("scratch/nanovit", {"patch_size": 4}, (192, 3, 4, 4)),
        ("torchvision/resnet18", {}, (64, 3, 7, 7)),
        ("timm/test_vit", {}, (64, 3, 16, 16)),
    ],
)
def test_shapes(name, args, shape):
    classifier = ModelConfig(name=name, args=args).build(num_classes=2)
    assert tuple(first_kernels(classifier).shape) == shape


def test_a_linear_layers_weights_lie_as_the_pixels_do():
    classifier = ModelConfig(name="scratch/mlp", image_size=8, args={"hidden": (3,)}).build(num_classes=2)
    image = torch.randn(1, 3, 8, 8)
    layer = classifier.get_submodule("network.blocks.1.0")
    by_kernels = (first_kernels(classifier) * image).sum((1, 2, 3)) + layer.bias
    torch.testing.assert_close(by_kernels, layer(image.flatten(1))[0])


def test_a_network_that_reads_no_pixels_has_none():
    classifier = ModelConfig(name="scratch/mlp", image_size=8).build(num_classes=2)
    classifier.network.blocks[1][0] = torch.nn.Linear(7, 512)
    assert first_kernels(classifier) is None
    classifier.network.blocks[1][0] = torch.nn.Conv2d(5, 2, 3)
    assert first_kernels(classifier) is None
