"""Which layers an adapter is put on, what it reaches, and how much is trained."""

import logging
import re

import pytest
import torch
from torch import nn

from finegrain import config
from finegrain.errors import ConfigError
from finegrain.models.classifier import Classifier
from finegrain.models.config import ModelConfig
from finegrain.optim.groups import parameter_groups
from finegrain.tuning.bitfit import BitFit
from finegrain.tuning.ia3 import IA3
from finegrain.tuning.loha import LoHa
from finegrain.tuning.lokr import LoKr
from finegrain.tuning.lora import Lora
from finegrain.tuning.norms import Norms

VIT_TINY = "timm/vit_tiny_patch16_224"
HEAD = 192 * 100 + 100


def build(name: str, **fields) -> Classifier:
    torch.manual_seed(0)
    return ModelConfig(name=name, **fields).build(num_classes=100)


@pytest.mark.parametrize(
    ("name", "tuning", "trainable"),
    [
        (VIT_TINY, Lora(), 12 * 8 * (192 + 576 + 192 + 192) + HEAD),
        (VIT_TINY, Lora(rank=2, target="qkv"), 12 * 2 * (192 + 576) + HEAD),
        (VIT_TINY, Lora(rank=2, target=r"blocks\.11\.mlp\.fc[12]"), 2 * 2 * (192 + 768) + HEAD),
        (VIT_TINY, Lora(dora=True, target="qkv"), 12 * (8 * (192 + 576) + 576) + HEAD),
        (VIT_TINY, LoHa(target="qkv"), 12 * 2 * 4 * (192 + 576) + HEAD),
        (VIT_TINY, LoKr(target="qkv"), 12 * (8 * 8 + 8 * (72 + 24)) + HEAD),
        (VIT_TINY, IA3(), 12 * (576 + 768) + HEAD),
        (VIT_TINY, Norms(), (12 * 2 + 1) * 2 * 192 + HEAD),
        (VIT_TINY, BitFit(), 12 * (576 + 192 + 768 + 192 + 2 * 192) + 2 * 192 + HEAD),
        ("torchvision/vit_b_16", Lora(rank=4), 12 * 4 * (768 + 2304 + 768 + 768) + 76_900),
        ("torchvision/resnet18", Lora(rank=4, target="layer4.0.conv1"), 4 * (256 * 9 + 512) + 51_300),
        ("torchvision/resnet18", Norms(), 9_600 + 51_300),
        ("torchvision/resnet18", BitFit(), 4_800 + 51_300),
    ],
)
def test_trainable_parameters(name, tuning, trainable):
    with torch.device("meta"):
        classifier = build(name)
    if tuning == Lora(dora=True, target="qkv"):  # DoRA looks at the weights
        classifier = build(name)
    tuning.apply(classifier)
    assert classifier.census().trainable == trainable


def test_the_layers_are_said(caplog):
    caplog.set_level(logging.INFO)
    Lora().apply(build("timm/test_vit"))
    assert "Lora on 12 layers: blocks.*.attn.qkv (6), blocks.*.attn.proj (6)" in caplog.text


def test_depthwise_convolutions_stem_and_head_are_left_alone():
    classifier = build("timm/mobilenetv2_035")
    Lora().apply(classifier)
    layers = {
        path: module.get_base_layer() for path, module in classifier.named_modules() if hasattr(module, "base_layer")
    }
    assert len(layers) == 34
    assert all(layer.groups == 1 for layer in layers.values())
    assert not {"network.conv_stem", "network.classifier"} & layers.keys()


def test_a_layer_that_is_never_called_takes_no_adapter():
    """torchvision's Swin hands the weights of its attention to a function."""
    with torch.device("meta"):
        classifier = build("torchvision/swin_t", image_size=64)
    Lora().apply(classifier)
    adapted = [path for path, module in classifier.named_modules() if hasattr(module, "base_layer")]
    assert len(adapted) == 27
    assert not any("attn" in path for path in adapted)


@pytest.mark.parametrize("name", ["timm/test_vit", "torchvision/vit_b_16"])
@pytest.mark.parametrize("target", ["query", "attn", "conv_head|", "head", "heads.head"])
@pytest.mark.usefixtures("small_torchvision_vit")
def test_a_target_that_matches_nothing_is_answered_with_names_that_exist(name, target):
    own = r"blocks\.\*\.attn\.qkv \(6\)" if name == "timm/test_vit" else r"self_attention\.in_proj \(2\)"
    with pytest.raises(ConfigError, match=f"matches no layer of {name}: got .*{own}.*set tuning.target"):
        Lora(target=target).apply(build(name, image_size=64))


@pytest.mark.parametrize("target", ["(qkv", "qkv)|(proj"])
def test_a_target_that_is_no_regular_expression_is_refused(target):
    with pytest.raises(ConfigError, match=rf"tuning.target: .*got {re.escape(target)}; expected a regular expression"):
        config.check(Lora(target=target))


@pytest.mark.parametrize("target", ["(?i)QKV", "^qkv", r"attn\.qkv$", r"^blocks\.\d\.attn\.qkv", "(?!proj)(q|k|v)+"])
def test_a_target_may_be_any_regular_expression_for_the_ends_of_paths(target):
    tuning = Lora(target=target)
    config.check(tuning)
    paths = [layer.path for layer in tuning.targets(build("timm/test_vit"))]
    assert paths == [f"network.blocks.{number}.attn.qkv" for number in range(6)]


def test_no_target_reaches_the_head():
    assert not any("head" in layer.path for layer in Lora(target=".*").targets(build("timm/test_vit")))


@pytest.mark.parametrize("tuning", [Lora, LoHa, LoKr])
@pytest.mark.parametrize("rank", [0, 1025, 10**9])
def test_ranks_are_bounded(tuning, rank):
    with pytest.raises(ConfigError, match=f"rank is not allowed: got {rank}; expected a whole number ≥ 1 and ≤ 1024"):
        config.check(tuning(rank=rank))


@pytest.mark.filterwarnings("error")
def test_a_second_adapter_is_refused():
    classifier = build("timm/test_vit")
    Lora().apply(classifier)
    with pytest.raises(ConfigError, match="has an adapter already: got LORA; expected none; take its merged"):
        IA3().apply(classifier)
    IA3().apply(classifier.merged())


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("part", ["q", "k", "v"])
@pytest.mark.parametrize("name", ["timm/test_vit", "torchvision/vit_b_16"])
@pytest.mark.usefixtures("small_torchvision_vit")
def test_q_k_and_v_are_each_reached(name, part, training):
    classifier = build(name, image_size=64)
    nn.init.normal_(classifier.get_submodule(classifier.head_name).weight)
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        expected = classifier.eval()(images)
        Lora(rank=2, target="qkv|in_proj").apply(classifier)
        classifier.train(training)
        torch.testing.assert_close(classifier(images), expected)
        for key, weight in classifier.named_parameters():
            if "lora_B" in key:
                rows = weight.chunk(3)["qkv".index(part)]
                nn.init.normal_(rows)
        found = classifier(images)
        assert (found - expected).norm() > 1e-3 * expected.norm()
        assert (classifier.merged().eval()(images) - found).norm() <= 1e-6 * found.norm()


def test_what_runs_before_the_first_adapted_block_records_nothing():
    classifier = build("timm/test_vit", image_size=64)
    Lora(target=r"blocks\.[45]\.attn\.qkv").apply(classifier)
    assert classifier.boundary == "network.blocks.4"
    recorded = {}
    for number in (3, 4):
        block = classifier.get_submodule(f"network.blocks.{number}")
        block.register_forward_hook(lambda _, __, output, n=number: recorded.update({n: output.requires_grad}))
    classifier.train()(torch.randn(2, 3, 64, 64))
    assert recorded == {3: False, 4: True}


def test_dropout_of_an_adapter_acts_in_training_alone():
    classifier = build("timm/test_vit", image_size=64)
    nn.init.normal_(classifier.get_submodule(classifier.head_name).weight)
    Lora(dropout=0.5).apply(classifier)
    for key, weight in classifier.named_parameters():
        if "lora_B" in key:
            nn.init.normal_(weight)
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(classifier.eval()(images), classifier(images))
        assert not torch.equal(classifier.train()(images), classifier(images))


@pytest.mark.parametrize("name", ["timm/test_vit", "timm/test_resnet"])
@pytest.mark.parametrize(
    ("tuning", "decayed"),
    [
        (Lora(dora=True), {"lora_A", "lora_B"}),
        (LoHa(), {"hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b"}),
        (LoKr(rank=1), {"lokr_w1", "lokr_w2_a", "lokr_w2_b"}),
        (IA3(), set()),
    ],
    ids=lambda value: type(value).__name__,
)
def test_of_an_adapter_the_factors_of_products_decay(name, tuning, decayed):
    classifier = build(name)
    tuning.apply(classifier)
    groups = parameter_groups(classifier, lr=1.0, weight_decay=0.1)
    ids = {id(parameter) for group in groups if group["weight_decay"] > 0 for parameter in group["params"]}
    names = {key for key, parameter in classifier.named_parameters() if id(parameter) in ids}
    adapters = {key.removesuffix(".weight").removesuffix(".default").rpartition(".")[2] for key in names}
    assert adapters - {"fc", "head"} == decayed


def test_an_adapter_learns_at_the_rate_of_its_block():
    classifier = build("timm/test_vit")
    Lora().apply(classifier)
    groups = parameter_groups(classifier, lr=1.0, layer_decay=0.5)
    rates = {id(parameter): group["lr"] for group in groups for parameter in group["params"]}
    for key, parameter in classifier.named_parameters():
        if "lora_" in key:
            assert rates[id(parameter)] == 0.5 ** (6 - int(key.split(".")[2]))


def test_recomputed_blocks_give_an_adapter_the_same_gradients():
    gradients = []
    for recompute in (False, True):
        classifier = build("timm/test_vit", image_size=64, recompute=recompute)
        nn.init.normal_(classifier.get_submodule(classifier.head_name).weight)
        torch.manual_seed(1)
        Lora(dropout=0.5).apply(classifier)
        for key, weight in classifier.named_parameters():
            if "lora_B" in key:
                nn.init.normal_(weight)
        torch.manual_seed(2)
        classifier.train()(torch.randn(2, 3, 64, 64)).square().sum().backward()
        gradients.append([parameter.grad for parameter in classifier.trainable_parameters()])
    assert all(map(torch.equal, *gradients))


def test_dora_refuses_rows_of_zeros():
    classifier = build("timm/test_vit")
    with torch.no_grad():
        classifier.network.blocks[2].attn.qkv.weight[5] = 0.0
    with pytest.raises(ConfigError, match=r"DoRA cannot scale.*got blocks\.2\.attn\.qkv; .*set tuning.dora=false"):
        Lora(dora=True).apply(classifier)


@pytest.mark.parametrize("name", ["timm/test_vit", "timm/test_resnet"])
def test_low_precision_under_autocast(name):
    classifier = build(name, image_size=64).to(memory_format=torch.channels_last)
    Lora().apply(classifier)
    with torch.autocast("cpu", torch.bfloat16):
        loss = classifier.train()(torch.randn(2, 3, 64, 64)).square().sum()
    loss.backward()
    assert all(parameter.grad is not None for parameter in classifier.trainable_parameters())
    assert all(parameter.grad.dtype == torch.float32 for parameter in classifier.trainable_parameters())
