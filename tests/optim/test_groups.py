from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import timm
import torch
from timm.models import group_parameters
from timm.optim import param_groups_layer_decay
from torch import nn

from finegrain.errors import ConfigError
from finegrain.optim.groups import is_weight, parameter_groups


def names_of(model: nn.Module, group: dict[str, Any]) -> set[str]:
    ids = {id(parameter) for parameter in group["params"]}
    return {name for name, parameter in model.named_parameters() if id(parameter) in ids}


def settings(model: nn.Module, groups: list[dict[str, Any]]) -> dict[str, tuple[float, float]]:
    """Rate and decay of each parameter; fails when one is in two groups."""
    found: dict[str, tuple[float, float]] = {}
    for group in groups:
        for name in names_of(model, group):
            assert name not in found
            found[name] = (group["lr"], group["weight_decay"])
    return found


def test_only_weights_decay(net: nn.Module) -> None:
    groups = parameter_groups(net, lr=1.0, weight_decay=0.1)
    assert [(g["name"], g["weight_decay"]) for g in groups] == [
        ("backbone, not decayed", 0.0),
        ("backbone", 0.1),
        ("head", 0.1),
        ("head, not decayed", 0.0),
    ]
    assert names_of(net, groups[1]) == {"stem.weight", "blocks.0.1.weight", "blocks.1.1.weight"}
    assert set(settings(net, groups)) == {name for name, _ in net.named_parameters()}


def test_head_rate(net: nn.Module) -> None:
    rates = {g["name"]: g["lr"] for g in parameter_groups(net, lr=1.0, head_lr=10.0)}
    assert rates == {"backbone": 1.0, "backbone, not decayed": 1.0, "head": 10.0, "head, not decayed": 10.0}


def test_layer_decay_falls_towards_the_stem(net: nn.Module) -> None:
    rates = settings(net, parameter_groups(net, lr=1.0, head_lr=3.0, layer_decay=0.5))
    assert rates["token"][0] == rates["stem.bias"][0] == 0.125
    assert rates["blocks.0.1.weight"][0] == 0.25
    assert rates["blocks.1.0.bias"][0] == 0.5
    assert rates["head.weight"][0] == 3.0


def test_a_norm_beside_the_head_keeps_the_backbones_rate(net: nn.Module) -> None:
    stem, first, last, head = net.layer_groups()
    merged = type(head)("head", (*last.module_paths, *head.module_paths))
    net.layer_groups = lambda: (stem, first, merged)
    rates = settings(net, parameter_groups(net, lr=1.0, head_lr=3.0, layer_decay=0.5))
    assert rates["blocks.1.0.weight"][0] == 1.0
    assert rates["head.bias"][0] == 3.0
    assert rates["blocks.0.0.bias"][0] == 0.5


def test_frozen_parameters_are_left_out(net: nn.Module) -> None:
    net.requires_grad_(False)
    net.get_submodule("head").requires_grad_()
    assert set(settings(net, parameter_groups(net, lr=1.0))) == {"head.weight", "head.bias"}


def test_nothing_trainable_is_refused(net: nn.Module) -> None:
    with pytest.raises(ConfigError, match=r"nothing to train: .*choose a tuning"):
        parameter_groups(net.requires_grad_(False), lr=1.0)


def test_weights_by_name_and_shape() -> None:
    attention, lstm = nn.MultiheadAttention(4, 2), nn.LSTM(3, 3)
    assert {n for n, p in attention.named_parameters() if is_weight(n, p)} == {"in_proj_weight", "out_proj.weight"}
    assert {n for n, p in lstm.named_parameters() if is_weight(n, p)} == {"weight_ih_l0", "weight_hh_l0"}


@dataclass(frozen=True)
class TimmGroup:
    name: str
    module_paths: tuple[str, ...]


class TimmLayers:
    """A timm model with the layers that timm itself decays by."""

    def __init__(self, model: nn.Module, head_name: str) -> None:
        self.model, self.head_name = model, head_name
        self.named_parameters = model.named_parameters

    def layer_groups(self) -> Sequence[TimmGroup]:
        layers = group_parameters(self.model, self.model.group_matcher(coarse=False))
        return [TimmGroup(f"layer {number}", tuple(names)) for number, names in layers.items()]


@pytest.mark.parametrize(("name", "head"), [("test_vit", "head"), ("test_resnet", "fc"), ("test_convnext", "head.fc")])
def test_agrees_with_timm(name: str, head: str) -> None:
    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=3)
    exempt = model.no_weight_decay() if hasattr(model, "no_weight_decay") else ()
    theirs = param_groups_layer_decay(model, weight_decay=0.05, layer_decay=0.7, no_weight_decay_list=exempt)
    expected = settings(model, [{**group, "lr": 2.0 * group["lr_scale"]} for group in theirs])
    ours = settings(model, parameter_groups(TimmLayers(model, head), lr=2.0, weight_decay=0.05, layer_decay=0.7))
    assert ours == {parameter: pytest.approx(value) for parameter, value in expected.items()}
