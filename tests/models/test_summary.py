import re

import pytest
import torch
from torch import nn

from finegrain.models.config import ModelConfig
from finegrain.models.summary import MOST_LAYERS, recorded_bytes, structure, summary
from finegrain.tuning.full import Full
from finegrain.tuning.head import Head
from finegrain.tuning.last_attention import LastAttention
from finegrain.tuning.last_block import LastBlock
from finegrain.tuning.lora import Lora
from finegrain.tuning.prompts import Prompts


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


def table(classifier) -> dict[str, list[str]]:
    """The rows of the structure by their paths, in words."""
    head, *rows = structure(classifier).splitlines()
    assert head.split() == ["layer", "kind", "output", "parameters", "state"]
    return {row.split()[0]: re.split("  +", row)[1:] for row in rows}


@pytest.mark.parametrize("name", ["cnn", "mytorch_lenet", "patch_lstm", "mlp", "resnet8"])
def test_the_layers_of_a_level_hold_all_parameters(name):
    """But for a position embedding; the engine in NumPy and the LSTM are followed as others are."""
    classifier = ModelConfig(name=f"scratch/{name}").build(num_classes=10)
    rows = table(classifier)
    parameters = {path: int(row[2].replace(",", "")) for path, row in rows.items() if len(row) == 4}
    beside = sum(parameter.numel() for parameter in classifier.network.parameters(recurse=False))
    assert (beside > 0) == (name == "patch_lstm")
    assert sum(count for path, count in parameters.items() if "." not in path) == classifier.census().total - beside
    assert rows["head"] == [
        "Linear",
        "10",
        f"{sum(p.numel() for p in classifier.network.head.parameters()):,}",
        "trained",
    ]
    inner = [path for path in parameters if path.count(".") == 1]
    assert sum(parameters[path] for path in inner) == parameters["blocks"]


def test_a_layer_is_told_with_its_output_and_whether_it_is_trained():
    classifier = ModelConfig(name="scratch/cnn", args={"channels": (4, 8), "in_channels": 1}, image_size=8).build(
        num_classes=3
    )
    LastBlock().apply(classifier)
    rows = table(classifier)
    assert rows["channels"] == ["Channels", "1 × 8 × 8"]
    assert rows["blocks.0.0"] == ["Conv2d", "4 × 8 × 8", "40", "frozen"]
    assert rows["blocks"][-1] == "partly trained"
    assert rows["head"][-1] == "trained"
    assert list(rows)[:4] == ["channels", "blocks", "blocks.0", "blocks.0.0"]


@pytest.mark.parametrize("tuning", [Prompts(count=2), Lora(rank=2)])
def test_adapters_and_prompts_are_no_obstacle(classifier, tuning):
    tuning.apply(classifier)
    rows = table(classifier)
    assert rows["head"][-1] == "trained"
    assert {row[-1] for row in rows.values()} >= {"trained", "frozen"}
    if isinstance(tuning, Lora):
        assert rows["blocks.0"][-1] == "partly trained"


@pytest.mark.parametrize(("depth", "levels"), [(4, 4), (8, 3), (20, 2), (70, 1)])
def test_a_deep_network_is_shown_to_the_level_that_fits(depth, levels):
    arguments = {"depth": depth, "dim": 8, "num_heads": 2, "mlp_dim": 8, "patch_size": 7}
    rows = table(ModelConfig(name="scratch/mnist_vit", args=arguments).build(num_classes=10))
    assert max(path.count(".") + 1 for path in rows) == levels
    assert len(rows) <= MOST_LAYERS


def test_a_module_that_runs_twice_is_listed_once(classifier):
    again = nn.ReLU()
    classifier.network.head = nn.Sequential(nn.Linear(64, 8), again, nn.Linear(8, 5), again)
    assert list(table(classifier))[-4:] == ["head", "head.0", "head.1", "head.2"]


def test_a_network_that_cannot_be_followed_has_a_table_without_shapes(classifier):
    Head().apply(classifier)
    paths = table(classifier).keys()
    classifier.train()
    modes = [module.training for module in classifier.modules()]
    classifier.network.fc_norm.register_forward_pre_hook(lambda *_: 1 / 0)
    head, *rows = structure(classifier).splitlines()
    assert {row.split()[0] for row in rows} >= set(paths)
    assert not any("×" in row for row in [head, *rows])
    assert [module.training for module in classifier.modules()] == modes


@pytest.mark.parametrize("look", [lambda classifier: summary(classifier, 2), structure])
def test_the_classifier_is_left_as_it_was(classifier, look):
    Head().apply(classifier)
    classifier.train()
    modes = {name: module.training for name, module in classifier.named_modules()}
    state = {name: tensor.clone() for name, tensor in classifier.state_dict().items()}
    chance = torch.get_rng_state()
    look(classifier)
    assert torch.equal(torch.get_rng_state(), chance)
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
