import pytest
import torch
from torch import nn

from finegrain.models.config import ModelConfig
from finegrain.models.summary import recorded_bytes, summary
from finegrain.tuning.full import Full
from finegrain.tuning.head import Head
from finegrain.tuning.last_attention import LastAttention


@pytest.fixture
def classifier():
    torch.manual_seed(0)
    return ModelConfig(name="timm/test_vit", image_size=64, dropout=0.1).build(num_classes=5)


def test_counts_include_parameters_outside_layers(classifier):
    LastAttention().apply(classifier)
    classifier.train()
    text = summary(classifier, 8)
    assert f"Parameters: {classifier.census()}" in text
    assert classifier.census().total == sum(p.numel() for p in classifier.parameters())
    assert "PatchEmbed" in text
    assert "at batch size 8" in text


def test_the_classifier_is_left_as_it_was(classifier):
    Head().apply(classifier)
    classifier.train()
    modes = {name: module.training for name, module in classifier.named_modules()}
    state = {name: tensor.clone() for name, tensor in classifier.state_dict().items()}
    summary(classifier, 2)
    assert {name: module.training for name, module in classifier.named_modules()} == modes
    assert all(torch.equal(tensor, state[name]) for name, tensor in classifier.state_dict().items())
    assert not any(module._forward_hooks for module in classifier.modules())
    assert all(parameter.grad is None for parameter in classifier.parameters())


def test_recorded_bytes_of_a_head_are_what_its_input_keeps(classifier):
    classifier.eval()
    Head().apply(classifier)
    images = torch.zeros(4, 3, 64, 64)
    # The class token is a view into the tokens of the last block, so it keeps all 17 of them alive.
    tokens = 4 * 17 * 64 * 4
    assert recorded_bytes(classifier, images) == tokens
    Full().apply(classifier.eval())
    whole = recorded_bytes(classifier, images)
    assert whole > 20 * tokens
    assert recorded_bytes(classifier, images[:2].clone()) == pytest.approx(whole / 2, rel=0.01)


def test_layers_that_are_given_numbers_beside_tensors_are_listed_too():
    with torch.device("meta"):
        classifier = ModelConfig(name="timm/xcit_nano_12_p16_224", image_size=64).build(num_classes=5)
        text = summary(classifier, 1)
    assert text.count("XCABlock") == 12
    assert f"Parameters: {classifier.census()}" in text


def test_memory_is_weights_gradients_moments_and_activations(classifier):
    big = nn.Linear(64, 65536, bias=False)
    classifier.network.head = big
    classifier.set_trainable(("network.head",))
    megabytes = 64 * 65536 * 4 / 2**20
    assert f"gradients {megabytes:,.0f}, two moments {2 * megabytes:,.0f}" in summary(classifier, 1)
