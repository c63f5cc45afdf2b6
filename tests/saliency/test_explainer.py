"""Maps: where the pattern is, by hand, and without a trace on the network."""

import copy
from typing import get_args

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from finegrain.errors import ConfigError
from finegrain.models.classifier import Classifier
from finegrain.models.config import ModelConfig
from finegrain.saliency.explainer import CLASSLESS, Explainer, Method

FAMILY = [method for method in get_args(Method) if method not in CLASSLESS]


class Colours(nn.Module):
    """Class k is how much of colour k the image holds."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.AvgPool2d(8)
        self.act = nn.ReLU(inplace=True)
        self.head = nn.Linear(3, 3, bias=False)
        with torch.no_grad():
            self.head.weight.copy_(torch.eye(3))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.act(self.features(images)).mean(dim=(2, 3)))


def build(name: str, size: int = 64) -> Classifier:
    torch.manual_seed(0)
    model = ModelConfig(name=name, image_size=size).build(num_classes=5)
    nn.init.normal_(model.get_submodule(model.head_name).weight)
    return model


def explainer(model: Classifier, method: Method = "gradcam") -> Explainer:
    return Explainer.of(model, method=method)


@pytest.mark.parametrize("method", FAMILY)
def test_a_map_lights_up_where_the_pattern_is(method: Method):
    images = torch.zeros(2, 3, 32, 32)
    images[:, 0, :8, 24:] = 1.0
    images[:, 1, 24:, :8] = 1.0
    network = Colours()
    maps = Explainer(network, head=network.head, attentions=(), method=method).maps(images, torch.eye(3)[:2])
    assert maps.shape == (2, 32, 32)
    assert maps.dtype == np.float32
    for heat, rows, columns in ((maps[0], slice(0, 12), slice(20, 32)), (maps[1], slice(20, 32), slice(0, 12))):
        assert heat[rows, columns].max() == pytest.approx(1.0, abs=1e-3)
        heat[rows, columns] = 0
        assert heat.max() == 0


def test_the_difference_of_two_classes_leaves_out_what_they_share():
    images = torch.zeros(1, 3, 32, 32)
    images[:, 0, :8, :8] = 1.0
    images[:, 0, 24:, 24:] = 1.0
    images[:, 1, 24:, 24:] = 1.0
    network = Colours()
    explain = Explainer(network, head=network.head, attentions=(), method="hirescam")
    alone = explain.maps(images, torch.tensor([[1.0, 0.0, 0.0]]))[0]
    rather = explain.maps(images, torch.tensor([[1.0, -1.0, 0.0]]))[0]
    assert alone[2, 2] == pytest.approx(1.0, abs=1e-3)
    assert alone[30, 30] == pytest.approx(1.0, abs=1e-3)
    assert rather[2, 2] == pytest.approx(1.0, abs=1e-3)
    assert rather[30, 30] == 0


@pytest.mark.parametrize("method", ["hirescam", "eigencam", "rollout"])
def test_questions_asked_together_get_the_same_answers(method: Method):
    model = build("timm/test_vit")
    images, one_hot = torch.randn(2, 3, 64, 64), torch.eye(5)
    asked = torch.stack([one_hot[[0, 1]], one_hot[[2, 3]], one_hot[[0, 1]] - one_hot[[2, 3]]])
    passes: list[object] = []
    explain = explainer(model, method)
    explain.maps(images, asked[0])  # finds the layer
    with model.network.register_forward_hook(lambda *_: passes.append(1)):
        together = explain.maps(images, asked)
    assert len(passes) == 1
    assert together.shape == (3, 2, 64, 64)
    for maps, weights in zip(together, asked, strict=True):
        np.testing.assert_allclose(maps, explain.maps(images, weights), atol=1e-5)


@pytest.mark.parametrize(("name", "size"), [("timm/test_resnet", 224), ("timm/test_vit", 128)])
def test_gradcam_is_the_textbook_one(name: str, size: int):
    model = build(name, size).eval()
    images, weights = torch.randn(2, 3, size, size), torch.eye(5)[[1, 3]]
    maps = explainer(model).maps(images, weights)
    tokens = name == "timm/test_vit"
    layers = [block.norm1 for block in model.network.blocks[-2:]] if tokens else [model.network.layer4]
    kept: list[torch.Tensor] = []
    hooks = [layer.register_forward_hook(lambda _, __, output: kept.append(output)) for layer in layers]
    logits = model(images)
    for hook in hooks:
        hook.remove()
    heats = []
    for features, gradient in zip(kept, torch.autograd.grad((logits * weights).sum(), kept), strict=True):
        if tokens:
            features, gradient = (t[:, 1:].transpose(1, 2).unflatten(2, (8, 8)) for t in (features, gradient))
        heats.append((gradient.mean(dim=(2, 3), keepdim=True) * features.detach()).sum(dim=1))
    heat = sum(heats).clamp(min=0)
    heat = functional.interpolate(heat[:, None], size=(size, size), mode="bilinear")[:, 0]
    low, high = heat.amin(dim=(1, 2), keepdim=True), heat.amax(dim=(1, 2), keepdim=True)
    np.testing.assert_allclose(maps, ((heat - low) / (high - low).clamp(min=1e-12)).numpy(), atol=2e-3)
    assert maps.max() == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize(
    ("name", "method"),
    [
        ("torchvision/swin_t", "gradcam"),
        ("timm/swin_tiny_patch4_window7_224", "layercam"),
        ("torchvision/densenet121", "hirescam"),
        ("timm/test_convnext", "hirescam"),
        ("timm/test_efficientnet", "gradcam++"),
        ("timm/mobilenetv3_small_050", "xgradcam"),
        ("timm/regnetx_002", "hirescam"),
        ("timm/deit_tiny_patch16_224", "hirescam"),
        ("timm/vit_tiny_r_s16_p8_224", "gradcam"),
    ],
)
def test_other_families_give_maps(name: str, method: Method):
    model = build(name)
    images = torch.randn(2, 3, 64, 64)
    maps = np.stack([explainer(model, method).maps(images, torch.eye(5)[[k, k]]) for k in range(5)])
    assert maps.min() >= 0
    assert maps.max() == pytest.approx(1.0, abs=1e-3)
    assert maps.std(axis=0).max() > 0.05  # another class, another map


def test_a_frozen_classifier_is_explained_and_stays_as_it_was():
    free, frozen = build("timm/test_vit"), build("timm/test_vit")
    frozen.set_trainable((frozen.head_name,), boundary=frozen.head_name)
    frozen.train()
    before = copy.deepcopy(frozen.state_dict())
    images, weights = torch.randn(2, 3, 64, 64), torch.eye(5)[[0, 4]]
    for method in ("gradcam", "rollout"):
        np.testing.assert_array_equal(
            explainer(frozen, method).maps(images, weights), explainer(free.eval(), method).maps(images, weights)
        )
    assert [m.training for m in frozen.modules()] == [m.training for m in copy.deepcopy(frozen).train().modules()]
    assert [name for name, p in frozen.named_parameters() if p.requires_grad] == [
        f"{frozen.head_name}.weight",
        f"{frozen.head_name}.bias",
    ]
    assert all(torch.equal(value, before[name]) for name, value in frozen.state_dict().items())
    assert all(parameter.grad is None for parameter in frozen.parameters())
    assert not any(module._forward_hooks for module in frozen.modules())
    assert all(block.attn.fused_attn for block in frozen.network.blocks)


def test_rollout_and_attention_need_a_vision_transformer():
    for name in ("timm/test_resnet", "torchvision/swin_t"):
        with pytest.raises(ConfigError, match=r"needs attention between all patches.*choose another method"):
            explainer(build(name), "rollout").maps(torch.zeros(1, 3, 64, 64), torch.eye(5)[:1])


class Sideways(Colours):
    """The last grid is of a branch that only looks, as NTS-Net's proposals do."""

    def __init__(self) -> None:
        super().__init__()
        self.proposals = nn.Conv2d(3, 2, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        grid = self.act(self.features(images))
        self.proposals(grid.detach())
        return self.head(grid.mean(dim=(2, 3)))


def test_a_grid_that_the_logits_do_not_depend_on_explains_nothing_and_leaves_no_trace():
    network = Sideways()
    explain = Explainer(network, head=network.head, attentions=(), method="hirescam")
    with pytest.raises(ConfigError, match=r"logits that no gradient links to its last grid.*choose another model"):
        explain.maps(torch.rand(2, 3, 64, 64), torch.eye(3)[:2])
    assert not any(module._forward_hooks for module in network.modules())
    assert all(parameter.requires_grad for parameter in network.parameters())


@pytest.mark.parametrize(
    ("name", "args", "expected"),
    [
        ("scratch/nanovit", {}, True),
        ("timm/test_vit", {}, True),
        ("timm/test_vit", {"global_pool": "avg", "class_token": False}, False),  # no class token
        ("timm/test_vit", {"global_pool": "avg", "class_token": True}, False),  # one that nothing reads
        ("scratch/cnn", {}, False),
    ],
)
def test_whether_the_class_token_is_classified_is_measured(name, args, expected):
    torch.manual_seed(0)
    model = ModelConfig(name=name, image_size=32, args=args).build(num_classes=5)
    nn.init.normal_(model.get_submodule(model.head_name).weight)
    assert explainer(model, "attention").reads_class_token(torch.randn(2, 3, 32, 32)) is expected
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())


def test_a_stage_that_hands_on_its_class_token_beside_its_grid_is_explained():
    torch.manual_seed(0)
    model = ModelConfig(name="timm/pit_ti_224", image_size=64).build(num_classes=3)
    maps = explainer(model, "hirescam").maps(torch.randn(2, 3, 64, 64), torch.eye(3)[[0, 1]])
    assert maps.shape == (2, 64, 64)
    assert maps.max() == pytest.approx(1)
    assert maps.std(axis=(1, 2)).min() > 0
