import copy

import pytest
import torch
from torch import nn

from finegrain.models.classifier import Classifier
from finegrain.models.config import ModelConfig

KINDS = ["timm/test_resnet", "timm/test_vit", "torchvision/resnet18", "timm/mobilenetv2_035", "timm/test_convnext"]


def build(name: str = "timm/test_resnet", **fields) -> Classifier:
    torch.manual_seed(0)
    return ModelConfig(name=name, image_size=64, **fields).build(num_classes=5)


@pytest.fixture
def images():
    return torch.randn(3, 3, 64, 64)


def half_frozen() -> Classifier:
    classifier = build()
    classifier.set_trainable(("network.layer4", "network.fc"), boundary="network.layer4")
    return classifier


def gradients(classifier: Classifier) -> dict[str, torch.Tensor]:
    return {name: p.grad for name, p in classifier.named_parameters() if p.grad is not None}


@pytest.mark.parametrize(
    "name",
    [
        *KINDS,
        "vit_b_16",
        "resnet50",
        "torchvision/convnext_tiny",
        "torchvision/swin_t",
        "torchvision/mobilenet_v2",
        "torchvision/densenet121",
        "timm/swin_tiny_patch4_window7_224",
        "timm/efficientnet_b0",
        "timm/pit_ti_224",
    ],
)
def test_every_parameter_is_in_one_layer_group(name):
    with torch.device("meta"):
        classifier = ModelConfig(name=name).build(num_classes=5)
    groups = classifier.layer_groups()
    assert [group.name for group in groups] == ["stem", *[f"block{i}" for i in range(1, len(groups) - 1)], "head"]
    paths = [path for group in groups for path in group.module_paths]
    for parameter, _ in classifier.named_parameters():
        found = [path for path in paths if parameter.startswith(path + ".")]
        assert len(found) == 1 or (not found and parameter.rpartition(".")[2] in TOKENS), parameter
    assert any(classifier.head_name.startswith(path) for path in groups[-1].module_paths)


TOKENS = ("cls_token", "pos_embed", "class_token", "pos_embedding")


@pytest.mark.parametrize(
    ("name", "number", "last"),
    [
        ("vit_b_16", 12, "network.encoder.layers.encoder_layer_11.self_attention"),
        ("timm/vit_base_patch16_224", 12, "network.blocks.11.attn"),
        ("timm/deit_tiny_patch16_224", 12, "network.blocks.11.attn"),
        ("timm/swin_tiny_patch4_window7_224", 12, "network.layers.3.blocks.1.attn"),
        ("torchvision/swin_t", 12, "network.features.7.1.attn"),
        ("timm/vit_base_patch16_siglip_224", 12, "network.blocks.11.attn"),
        ("timm/seresnet50", 0, None),
        ("timm/ecaresnet26t", 0, None),
        ("resnet50", 0, None),
    ],
)
def test_self_attention_is_found(name, number, last):
    with torch.device("meta"):
        modules = ModelConfig(name=name).build(num_classes=5).attention_modules()
    assert len(modules) == number
    assert modules[-1:] == (() if last is None else (last,))


@pytest.mark.parametrize("name", KINDS)
def test_features_are_what_the_head_reads(name, images):
    classifier = build(name, dropout=0.5).eval()
    features = classifier.forward_features(images)
    head = classifier.get_submodule(classifier.head_name)
    assert features.ndim == 2
    assert torch.equal(head(features), classifier(images))


def test_frozen_parts_stay_in_eval_and_thaw():
    classifier = half_frozen().train()
    assert classifier.training
    assert not classifier.network.training
    assert not any(module.training for module in classifier.network.layer3.modules())
    assert all(module.training for module in classifier.network.layer4.modules())
    assert not any(module.training for module in classifier.eval().modules())
    classifier.train()
    classifier.set_trainable(("network",))
    assert all(module.training for module in classifier.modules())


def test_the_prefix_records_nothing(images):
    classifier = half_frozen()
    recording = {}
    for path in ("network.conv1", "network.layer3", "network.layer4", "network.fc"):
        classifier.get_submodule(path).register_forward_hook(
            lambda module, inputs, output, path=path: recording.update({path: torch.is_grad_enabled()})
        )
    classifier(images).sum().backward()
    assert recording == {"network.conv1": False, "network.layer3": False, "network.layer4": True, "network.fc": True}
    assert torch.is_grad_enabled()
    assert set(gradients(classifier)) == {n for n, p in classifier.named_parameters() if p.requires_grad}


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_nothing_is_recorded_where_the_caller_wants_nothing(images, mode):
    classifier = half_frozen().eval()
    with mode():
        assert not classifier(images).requires_grad
        assert not torch.is_grad_enabled()
    assert torch.is_grad_enabled()
    with torch.no_grad():
        classifier.network(images)  # the network alone leaves the caller's mode as it is
        assert not torch.is_grad_enabled()


def test_an_error_inside_leaves_the_mode_alone():
    classifier = half_frozen()
    with pytest.raises(RuntimeError):
        classifier(torch.randn(1, 4, 64, 64))
    assert torch.is_grad_enabled()
    assert not classifier._record_after_boundary


def test_a_deep_copy_is_independent(images):
    classifier = half_frozen()
    twin = copy.deepcopy(classifier)
    twin.train()(images).sum().backward()
    assert len(gradients(twin)) == len(twin.trainable_parameters())
    assert not gradients(classifier)
    twin.set_trainable((twin.head_name,), boundary=twin.head_name)
    assert len(twin.network.layer4._forward_pre_hooks) == 0
    assert len(classifier.network.layer4._forward_pre_hooks) == 1
    assert torch.equal(twin.eval()(images), copy.deepcopy(twin)(images))


def test_compiled_in_one_graph(images):
    classifier = half_frozen().eval()
    classifier(images).sum().backward()
    expected = {name: gradient.clone() for name, gradient in gradients(classifier).items()}
    classifier.zero_grad()
    torch.compile(classifier, backend="eager", fullgraph=True)(images).sum().backward()
    found = gradients(classifier)
    assert found.keys() == expected.keys()
    assert all(torch.allclose(found[name], expected[name]) for name in found)


def test_channels_last(images):
    classifier = half_frozen().eval()
    expected = classifier(images)
    classifier.to(memory_format=torch.channels_last)
    found = classifier(images.to(memory_format=torch.channels_last))
    assert torch.allclose(found, expected, atol=1e-5)


def test_dropout_acts_on_the_head_alone(images):
    classifier = build(dropout=0.5)
    classifier.set_trainable((classifier.head_name,), boundary=classifier.head_name)
    classifier.train()
    assert not torch.equal(classifier(images), classifier(images))
    assert torch.equal(classifier.eval()(images), classifier(images))
    assert set(classifier.state_dict()) == set(build().state_dict())


def test_the_head_keeps_its_library_initialisation_under_dropout():
    assert torch.equal(build(dropout=0.5).network.fc.weight, build().network.fc.weight)
    assert isinstance(build(dropout=0.5).network.fc, nn.Linear)
