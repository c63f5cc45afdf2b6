"""A classifier entered where its frozen part ends computes what it computed from images, and trains alike."""

import copy
from dataclasses import replace

import pytest
import torch
from feature_set import classifier, runtime
from torch import Tensor, nn

from finegrain.features.cut import enter, find_cut
from finegrain.features.inference import frozen
from finegrain.models.weights import load_folder, save_folder
from finegrain.tuning.attention import Attention
from finegrain.tuning.full import Full
from finegrain.tuning.head import Head
from finegrain.tuning.last_attention import LastAttention
from finegrain.tuning.last_block import LastBlock

CASES = [
    ("timm/test_resnet", 32, LastBlock(), "network.layer4"),
    ("timm/test_resnet", 32, LastBlock(blocks=3), "network.layer2"),
    ("timm/test_resnet", 32, Head(), "network.fc"),
    ("timm/test_vit", None, LastBlock(), "network.blocks.5"),
    ("timm/test_vit", None, LastAttention(), "network.blocks.5"),  # the block's sum needs what goes around attention
    ("timm/test_vit", None, Attention(), "network.blocks.0"),
    ("timm/test_efficientnet", 32, LastBlock(), "network.blocks.4"),
    ("torchvision/resnet18", 32, LastBlock(), "network.layer4"),
    ("torchvision/mobilenet_v2", 32, Head(), "network.classifier.1"),
]


def build(name, size, tuning):
    model = classifier(name, image_size=size)
    nn.init.normal_(model.get_submodule(model.head_name).weight)
    tuning.apply(model)
    images = torch.randn(3, 3, *[model.preprocessing.image_size] * 2, generator=torch.Generator().manual_seed(1))
    return model, images


@pytest.mark.parametrize(("name", "size", "tuning", "path"), CASES)
def test_logits_and_gradients_are_those_of_the_whole_network(name, size, tuning, path) -> None:
    model, images = build(name, size, tuning)
    cut = find_cut(model)
    assert cut is not None
    assert cut.path == path
    activations = frozen(model, replace(runtime(), channels_last=False), cut=cut)(images).clone()
    assert activations.shape == (3, *cut.shape)
    entered = copy.deepcopy(model)
    enter(entered, cut)
    results = []
    for each, inputs in ((model.train(), images), (entered.train(), activations)):
        torch.manual_seed(0)
        logits = each(inputs)
        logits.square().sum().backward()
        results.append([logits, *(parameter.grad for parameter in each.trainable_parameters())])
    for whole, part in zip(*results, strict=True):
        torch.testing.assert_close(part, whole, rtol=1e-5, atol=1e-6)
    assert [name for name, _ in entered.state_dict().items()] == [name for name, _ in model.state_dict().items()]


def test_the_frozen_part_does_not_run() -> None:
    model, images = build("timm/test_resnet", 32, LastBlock())
    cut = find_cut(model)
    activations = frozen(model, runtime(), cut=cut)(images).clone()
    expected = model.eval()(images)
    nn.init.constant_(model.network.layer1[0].conv1.weight, torch.nan)
    enter(model, cut)
    torch.testing.assert_close(model(activations), expected, rtol=1e-4, atol=1e-4)


def test_a_copy_of_an_entered_classifier_is_its_own() -> None:
    model, images = build("timm/test_vit", None, LastBlock())
    cut = find_cut(model)
    activations = frozen(model, runtime(), cut=cut)(images).clone()
    enter(model.eval(), cut)
    twin = copy.deepcopy(model)
    expected = model(activations)
    with torch.no_grad():
        model.network.blocks[5].mlp.fc1.weight.zero_()
    assert torch.equal(twin(activations), expected)
    assert not torch.equal(model(activations), expected)


def test_an_entered_classifier_is_saved_as_one_for_images(tmp_path) -> None:
    model, images = build("timm/test_vit", None, LastBlock())
    expected = model.eval()(images)
    enter(model, find_cut(model))
    save_folder(model, tmp_path / "model", class_names=tuple("abcde"))
    loaded, _ = load_folder(tmp_path / "model")
    torch.testing.assert_close(loaded.eval()(images), expected)


def test_other_numbers_of_images_than_the_cut_was_found_with() -> None:
    model, _ = build("timm/test_resnet", 32, LastBlock())
    cut = find_cut(model)
    enter(model.eval(), cut)
    assert [len(model(torch.randn(count, *cut.shape))) for count in (1, 7)] == [1, 7]


def test_nothing_frozen_nothing_to_cut() -> None:
    assert find_cut(build("timm/test_resnet", 32, Full())[0]) is None


def test_a_network_with_a_path_around_every_cut_has_none() -> None:
    class Around(nn.Module):
        """The stem's output goes around every later module."""

        def __init__(self) -> None:
            super().__init__()
            self.conv1, self.layer4, self.fc = nn.Conv2d(3, 8, 3), nn.Identity(), nn.Linear(8, 5)

        def forward(self, images: Tensor) -> Tensor:
            stem = self.conv1(images)
            return self.fc((self.layer4(stem.square()) + stem).mean((2, 3)))

    model, _ = build("timm/test_resnet", 32, LastBlock())
    model.network = Around()
    model.set_trainable(("network.layer4",), boundary="network.layer4")
    assert find_cut(model) is None


def test_the_original_is_left_as_it_is() -> None:
    model, images = build("timm/test_resnet", 32, LastBlock())
    model.train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    find_cut(model)
    assert model.training
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert not model.network._forward_pre_hooks
    assert model(images).requires_grad
