"""Networks from scratch behind the features: run frozen and fast, and entered where their frozen part ends."""

import copy
from dataclasses import replace

import pytest
import torch
from feature_set import runtime
from torch.nn.functional import cosine_similarity

from finegrain.features.cut import enter, find_cut
from finegrain.features.inference import frozen
from finegrain.models.config import ModelConfig
from finegrain.tuning.last_block import LastBlock

CASES = [
    ("mlp", 8, {}, "network.blocks.2"),
    ("cnn", 8, {"channels": (4, 8)}, "network.blocks.2"),
    ("lenet_bn", 16, {}, "network.blocks.4"),
    ("mytorch_lenet", 12, {"batch_norm": True}, "network.blocks.4"),
    ("nin", 67, {}, "network.blocks.3"),
    ("googlenet", 32, {}, "network.blocks.10"),
    ("resnet8", 8, {}, "network.blocks.3"),
    ("resnet18", 8, {}, "network.blocks.4"),
    ("mnist_conv2", 16, {}, "network.blocks.4"),
    ("nanovit", 8, {"dim": 16, "num_heads": 2}, "network.blocks.3"),
    ("mnist_vit", 14, {"dim": 16}, "network.blocks.5"),
    ("patch_lstm", 8, {"dim": 16, "hidden": 16}, "network.blocks.1"),
]


@pytest.fixture(params=CASES, ids=lambda case: case[0])
def case(request):
    name, size, args, path = request.param
    torch.manual_seed(0)
    model = ModelConfig(name=f"scratch/{name}", image_size=size, args=args).build(num_classes=4).eval()
    return model, torch.randn(3, 3, size, size, generator=torch.Generator().manual_seed(1)), path


def test_features_are_what_the_head_reads(case) -> None:
    model, images, _ = case
    with torch.no_grad():
        expected = model.forward_features(images)
    torch.testing.assert_close(frozen(model, runtime("fp32"))(images), expected, rtol=1e-4, atol=1e-4)
    close = frozen(model, runtime("bf16"))(images)
    assert cosine_similarity(close, expected).min() >= 0.99


def test_a_network_is_entered_before_its_last_block(case) -> None:
    model, images, path = case
    LastBlock().apply(model)
    cut = find_cut(model)
    assert cut is not None
    assert cut.path == path
    activations = frozen(model, replace(runtime(), channels_last=False), cut=cut)(images).clone()
    entered = copy.deepcopy(model)
    enter(entered, cut)
    torch.testing.assert_close(entered.eval()(activations), model.eval()(images), rtol=1e-4, atol=1e-5)
