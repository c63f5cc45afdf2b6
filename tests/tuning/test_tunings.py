"""One battery over every tuning and a network of every kind: only the stated parts move."""

import copy

import pytest
import torch
from torch import nn

from finegrain.errors import ConfigError
from finegrain.models.classifier import Classifier
from finegrain.models.config import ModelConfig
from finegrain.tuning.attention import Attention
from finegrain.tuning.base import Tuning
from finegrain.tuning.full import Full
from finegrain.tuning.head import Head
from finegrain.tuning.last_attention import LastAttention
from finegrain.tuning.last_block import LastBlock
from finegrain.tuning.scratch import Scratch

SIZE, CLASSES = 64, 5
CONVOLUTIONAL = {
    "torchvision/resnet18": ("layer4", "fc"),
    "timm/resnet10t": ("layer4", "fc"),
    "timm/test_resnet": ("layer4", "fc"),
    "timm/mobilenetv2_035": ("blocks.6", "conv_head", "bn2", "classifier"),
    "timm/test_convnext": ("stages.3", "head"),
    "torchvision/mobilenet_v3_small": ("features.11", "features.12", "classifier"),
}
TRANSFORMERS = {
    "torchvision/vit_b_16": ("encoder.layers.encoder_layer_1", "encoder.ln", "heads"),
    "timm/test_vit": ("blocks.5", "norm", "head"),
    "timm/test_vit4": ("blocks.8", "fc_norm", "head"),
}
ATTENTION = {
    "torchvision/vit_b_16": "encoder.layers.encoder_layer_1.self_attention",
    "timm/test_vit": "blocks.5.attn",
    "timm/test_vit4": "blocks.8.attn",
}
CASES = [
    *[(name, tuning) for name in CONVOLUTIONAL for tuning in (Full(), Head(), LastBlock(), Scratch())],
    *[
        (name, tuning)
        for name in TRANSFORMERS
        for tuning in (Full(), Head(), LastBlock(), LastAttention(), Attention(), Scratch())
    ],
]


pytestmark = pytest.mark.usefixtures("small_torchvision_vit")


def build(name: str) -> Classifier:
    torch.manual_seed(0)
    classifier = ModelConfig(name=name, image_size=SIZE, dropout=0.2).build(num_classes=CLASSES)
    for module in classifier.modules():
        # A zero-initialised head would leave every other gradient at zero.
        if isinstance(module, nn.Linear) and module.out_features == CLASSES:
            nn.init.normal_(module.weight, std=0.5)
    return classifier


def stated(name: str, tuning: Tuning, classifier: Classifier) -> tuple[str, ...]:
    """What the tuning promises to train."""
    if isinstance(tuning, (Full, Scratch)):
        return ("network",)
    if isinstance(tuning, Head):
        return (classifier.head_name,)
    if isinstance(tuning, LastBlock):
        return tuple(f"network.{path}" for path in {**CONVOLUTIONAL, **TRANSFORMERS}[name])
    if isinstance(tuning, LastAttention):
        return (f"network.{ATTENTION[name]}", classifier.head_name)
    return (*classifier.attention_modules(), classifier.head_name)


def inside(name: str, paths: tuple[str, ...]) -> bool:
    return any(name.startswith(path + ".") for path in paths)


def train_one_step(classifier: Classifier) -> None:
    optimizer = torch.optim.SGD(classifier.parameters(), lr=0.5, momentum=0.9, weight_decay=0.1)
    images = torch.randn(4, 3, SIZE, SIZE)
    for _ in range(2):  # the second step uses the momentum
        optimizer.zero_grad()
        nn.functional.cross_entropy(classifier(images), torch.tensor([0, 1, 2, 3])).backward()
        optimizer.step()


@pytest.mark.parametrize(("name", "tuning"), CASES, ids=[f"{n}-{type(t).__name__}" for n, t in CASES])
def test_only_the_stated_parts_move(name, tuning):
    classifier = build(name)
    tuning.apply(classifier)
    paths = stated(name, tuning, classifier)
    before = copy.deepcopy(classifier.state_dict())
    classifier.train()
    train_one_step(classifier)
    parameters = dict(classifier.named_parameters())
    for key, value in classifier.state_dict().items():
        if not inside(key, paths):
            assert torch.equal(value, before[key]), f"{key} is frozen and moved"
        elif key in parameters:
            assert not torch.equal(value, before[key]), f"{key} is trained and did not move"
    trained = {key for key, parameter in parameters.items() if parameter.requires_grad}
    assert trained == {key for key in parameters if inside(key, paths)}
    assert all((parameter.grad is None) != parameter.requires_grad for parameter in parameters.values())
    for key, module in classifier.network.named_modules():
        path = f"network.{key}" if key else "network"
        assert module.training == (path in paths or inside(path, paths)), path


@pytest.mark.parametrize("name", ["torchvision/resnet18", "timm/test_vit", "torchvision/vit_b_16"])
def test_the_boundary_changes_neither_logits_nor_gradients(name):
    classifier = build(name).eval()
    LastBlock().apply(classifier)
    paths = stated(name, LastBlock(), classifier)
    images = torch.randn(2, 3, SIZE, SIZE)

    def run():
        classifier.zero_grad()
        logits = classifier(images)
        logits.sum().backward()
        return logits.detach(), [p.grad.clone() for p in classifier.trainable_parameters()]

    logits, gradients = run()
    classifier.set_trainable(paths, boundary=None)
    plain_logits, plain_gradients = run()
    assert torch.equal(logits, plain_logits)
    assert all(torch.equal(a, b) for a, b in zip(gradients, plain_gradients, strict=True))


@pytest.mark.parametrize("name", sorted(CONVOLUTIONAL))
@pytest.mark.parametrize("tuning", [LastAttention(), Attention()])
def test_attention_is_refused_where_there_is_none(name, tuning):
    with pytest.raises(ConfigError, match=r"no self-attention.*LastBlock"):
        tuning.apply(build(name))


def test_last_block_counts_from_the_end():
    classifier = build("torchvision/resnet18")
    LastBlock(blocks=2).apply(classifier)
    trained = {key.split(".")[1] for key, p in classifier.named_parameters() if p.requires_grad}
    assert trained == {"layer3", "layer4", "fc"}
    with pytest.raises(ConfigError, match="fewer blocks: got 5; expected 1 to 4"):
        LastBlock(blocks=5).apply(classifier)


def test_tunings_replace_one_another():
    classifier = build("timm/test_vit")
    for tuning in (Head(), Full(), LastAttention(), Head()):
        tuning.apply(classifier)
    hooks = sum(len(module._forward_pre_hooks) for module in classifier.modules())
    assert hooks == 1
    assert classifier.census().trainable == 64 * CLASSES + CLASSES


@pytest.mark.parametrize("name", ["torchvision/resnet18", "timm/mobilenetv2_035"])
@pytest.mark.parametrize("tuning", [Full(frozen_statistics=True), LastBlock(frozen_statistics=True)])
def test_frozen_statistics_stay_and_are_what_training_normalises_by(name, tuning):
    classifier = build(name)
    tuning.apply(classifier)
    before = copy.deepcopy(classifier.state_dict())
    images = torch.randn(4, 3, SIZE, SIZE)
    classifier.eval()
    expected = classifier.forward_features(images)
    classifier.train()
    torch.testing.assert_close(classifier.forward_features(images), expected)
    train_one_step(classifier)
    parameters = {key for key, parameter in classifier.named_parameters() if parameter.requires_grad}
    for key, value in classifier.state_dict().items():
        assert torch.equal(value, before[key]) != (key in parameters), key
    assert any(isinstance(module, nn.BatchNorm2d) and module.weight.requires_grad for module in classifier.modules())
