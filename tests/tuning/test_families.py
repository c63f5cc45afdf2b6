"""LoRA on every family of networks: which layers it reaches, how many parameters it has, and that it merges."""

import copy
import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from finegrain.models.adapter_folder import load_adapter, save_adapter
from finegrain.models.classifier import Classifier
from finegrain.models.config import ModelConfig
from finegrain.tuning.adapter import outline
from finegrain.tuning.lora import Lora

RANK = 4
BOTTLENECK = "layer*.*.conv1 (8), layer*.*.conv2 (8), layer*.*.downsample.0 (3)"
DENSE = "features.denseblock*.denselayer*.conv1 (58), features.denseblock*.denselayer*.conv2 (58), "
DENSE += "features.transition*.conv (3)"
TOKENS = "blocks.*.attn.qkv ({0}), blocks.*.attn.proj ({0})"
FAMILIES = {
    "timm/resnet18": BOTTLENECK,
    "torchvision/resnet18": BOTTLENECK,
    "timm/test_convnext": "stages.*.blocks.*.mlp.fc1 (9), stages.*.blocks.*.mlp.fc2 (9), stages.*.downsample.1 (3)",
    "torchvision/convnext_tiny": "features.*.*.block.3 (18), features.*.*.block.5 (18), features.*.1 (3)",
    "timm/test_efficientnet": "blocks.*.*.conv (1), blocks.*.*.conv_exp (2), blocks.*.*.conv_pwl (4), "
    "blocks.*.*.conv_pw (2), blocks.*.*.se.conv_reduce (2), blocks.*.*.se.conv_expand (2), conv_head (1)",
    "torchvision/efficientnet_b0": "features.*.*.block.*.fc1 (16), features.*.*.block.*.fc2 (16), "
    "features.*.*.block.*.0 (31), features.*.0 (1)",
    "timm/mobilenetv2_035": "blocks.*.*.conv_pw (17), blocks.*.*.conv_pwl (16), conv_head (1)",
    "torchvision/mobilenet_v3_small": "features.*.block.*.fc1 (9), features.*.block.*.fc2 (9), "
    "features.*.block.*.0 (21), features.*.0 (1)",
    "torchvision/densenet121": DENSE,
    "timm/regnetx_002": "s*.b*.conv*.conv (26), s*.b*.downsample.conv (4)",
    "torchvision/regnet_y_400mf": "trunk_output.block*.block*-*.proj.0 (4), trunk_output.block*.block*-*.f.a.0 (16), "
    "trunk_output.block*.block*-*.f.se.fc1 (16), trunk_output.block*.block*-*.f.se.fc2 (16), "
    "trunk_output.block*.block*-*.f.c.0 (16)",
    "timm/test_vit": TOKENS.format(6),
    "timm/deit_tiny_patch16_224": TOKENS.format(12),
    "torchvision/vit_b_16": "encoder.layers.encoder_layer_*.self_attention.in_proj (2), "
    "encoder.layers.encoder_layer_*.self_attention.out_proj (2)",
    "timm/swin_tiny_patch4_window7_224": "layers.*.blocks.*.attn.qkv (12), layers.*.blocks.*.attn.proj (12)",
    "torchvision/swin_t": "features.*.*.mlp.0 (12), features.*.*.mlp.3 (12), features.*.reduction (3)",
}
pytestmark = pytest.mark.usefixtures("small_torchvision_vit")


def build(name: str) -> tuple[Classifier, Tensor]:
    """With the statistics of some images, so that activations stay of one size; and a few of them."""
    torch.manual_seed(0)
    size = 64 if "swin" in name else 32
    classifier = ModelConfig(name=name, image_size=size).build(num_classes=3)
    nn.init.normal_(classifier.get_submodule(classifier.head_name).weight, std=0.1)
    images = torch.randn(8, 3, size, size)
    norms = [module for module in classifier.modules() if isinstance(module, _BatchNorm)]
    for norm in norms:
        nn.init.ones_(norm.weight)  # some libraries start residual branches at zero
        norm.momentum = 1.0
    if norms:
        with torch.no_grad():
            classifier.train()(images)
    return classifier.eval(), images[:2]


def relative_difference(found: Tensor, expected: Tensor) -> float:
    return ((found - expected).norm() / expected.norm()).item()


@torch.no_grad()
def passes(classifier: Classifier, images: Tensor) -> tuple[Tensor, dict[str, tuple[Tensor, Tensor]]]:
    """Logits, and what every adapted layer reads and gives."""
    seen: dict[str, tuple[Tensor, Tensor]] = {}

    def note(path: str, inputs: Tensor, output: Tensor) -> None:
        seen[path] = (inputs.clone(), output.clone())  # what comes next may work in place

    hooks = [
        module.register_forward_hook(lambda _, inputs, output, path=path: note(path, inputs[0], output))
        for path, module in classifier.named_modules()
        if hasattr(module, "get_base_layer")
    ]
    logits = classifier.eval()(images)
    for hook in hooks:
        hook.remove()
    return logits, seen


@pytest.mark.parametrize("name", FAMILIES)
def test_lora_reaches_its_layers_and_merges(name: str, tmp_path):
    base, images = build(name)
    classifier, tuning = copy.deepcopy(base), Lora(rank=RANK)
    assert outline(tuning.targets(classifier)) == FAMILIES[name]
    tuning.apply(classifier)
    start, seen = passes(classifier, images)
    assert relative_difference(start, base(images)) <= 1e-6
    layers = [classifier.get_submodule(path).get_base_layer().weight for path in seen]
    by_hand = sum(RANK * (weight[0].numel() + len(weight)) for weight in layers)
    head = sum(parameter.numel() for parameter in classifier.get_submodule(classifier.head_name).parameters())
    assert classifier.census().trainable == by_hand + head

    for key, parameter in classifier.named_parameters():
        if "lora_B" in key:
            nn.init.normal_(parameter, std=0.1 / math.sqrt(RANK))
    classifier(images).square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in classifier.trainable_parameters())
    logits, seen = passes(classifier, images)
    assert relative_difference(logits, start) > 1e-2
    with torch.no_grad():
        plain = classifier.merged()
        if "self_attention" not in FAMILIES[name]:  # packed again, its layers are one parameter
            for path, (inputs, output) in seen.items():
                assert relative_difference(plain.get_submodule(path)(inputs), output) <= 1e-6, path
        # Rounding, of either, grows on the way through many layers of random weights: in float64 it is out of sight.
        exact = copy.deepcopy(classifier).double()
        expected = exact(images.double())
        assert relative_difference(exact.merged().eval()(images.double()), expected) <= 1e-12
        rounding = relative_difference(logits.double(), expected)
        assert relative_difference(plain.eval()(images), logits) <= max(1e-6, 4 * rounding)

    save_adapter(classifier, tmp_path, class_names="abc", weights=None)
    assert torch.equal(passes(load_adapter(tmp_path, base), images)[0], logits)


@pytest.mark.parametrize("name", ["torchvision/swin_v2_t", "timm/swinv2_tiny_window8_256"])
def test_what_computes_position_biases_is_no_attention_to_adapt(name: str):
    classifier = ModelConfig(name=name, image_size=64).build(num_classes=3)
    paths = [layer.path for layer in classifier.adaptable_layers()]
    assert paths
    assert not any("cpb_mlp" in path for path in paths)
