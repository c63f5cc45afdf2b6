import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from finegrain import config
from finegrain.errors import ConfigError
from finegrain.optim.penalty import PenaltyConfig

EACH = [{"l1": 0.3}, {"l2_sp": 0.3}, *({"lp": 0.3, "p": p} for p in (1.0, 1.5, 2, 3.0, "inf"))]


def value(section: PenaltyConfig, net: nn.Module) -> Tensor:
    result = section.build(net)()
    assert result is not None
    return result


def weights(net: nn.Module) -> list[Tensor]:
    return [p for n, p in net.named_parameters() if n.endswith("weight") and p.ndim > 1 and p.requires_grad]


def test_l1_and_lp_by_hand(net: nn.Module) -> None:
    flat = torch.cat([w.detach().flatten() for w in weights(net)])
    assert flat.numel() == 9 + 9 + 9 + 6
    torch.testing.assert_close(value(PenaltyConfig(l1=0.5), net), 0.5 * flat.abs().sum())
    torch.testing.assert_close(value(PenaltyConfig(lp=2.0, p=1.5), net), 2 * flat.abs().pow(1.5).sum())
    torch.testing.assert_close(value(PenaltyConfig(lp=2.0, p="inf"), net), 2 * flat.abs().max())
    both = PenaltyConfig(l1=0.5, lp=2.0, p=2)
    torch.testing.assert_close(value(both, net), 0.5 * flat.abs().sum() + 2 * flat.square().sum())


def test_l2_sp_pulls_the_backbone_to_its_start_and_the_head_to_zero(net: nn.Module) -> None:
    penalty = PenaltyConfig(l2_sp=0.5).build(net)
    head = net.get_parameter("head.weight").detach()
    torch.testing.assert_close(penalty(), 0.25 * head.square().sum())
    with torch.no_grad():
        net.get_parameter("stem.weight").add_(0.1)
        net.get_parameter("stem.bias").add_(9.0)
    torch.testing.assert_close(penalty(), 0.25 * head.square().sum() + 0.25 * 9 * 0.01)


def test_norms_and_biases_when_asked(net: nn.Module) -> None:
    everything = sum(p.detach().abs().sum() for p in net.parameters())
    torch.testing.assert_close(value(PenaltyConfig(l1=1.0, norms_and_biases=True), net), everything)


def test_frozen_weights_are_not_penalised(net: nn.Module) -> None:
    net.requires_grad_(False)
    head = net.get_submodule("head").requires_grad_()
    torch.testing.assert_close(value(PenaltyConfig(l1=1.0), net), head.weight.abs().sum())
    torch.testing.assert_close(value(PenaltyConfig(l2_sp=1.0), net), 0.5 * head.weight.square().sum())


@pytest.mark.parametrize("fields", EACH, ids=repr)
def test_gradient_agrees_with_finite_differences(fields: dict[str, Any], net: nn.Module) -> None:
    net.double()
    penalty = PenaltyConfig(**fields).build(net)
    with torch.no_grad():
        for weight in weights(net):
            weight.mul_(1.3)

    def cost(*_: Tensor) -> Tensor:
        result = penalty()
        assert result is not None
        return result

    chosen = weights(net)
    if fields.get("p") == "inf":
        chosen = [max(weights(net), key=lambda weight: float(weight.detach().abs().max()))]
    assert torch.autograd.gradcheck(cost, chosen)


@pytest.mark.parametrize("fields", EACH, ids=repr)
def test_gradient_is_finite_where_weights_are_zero(fields: dict[str, Any], net: nn.Module) -> None:
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
    value(PenaltyConfig(**fields), net).backward()
    assert all(torch.isfinite(p.grad).all() for p in net.parameters() if p.grad is not None)


def test_float32_under_autocast(net: nn.Module) -> None:
    penalty = PenaltyConfig(l1=1.0, lp=1.0, p=3.0, l2_sp=1.0).build(net)
    expected = penalty()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(penalty(), expected)


def test_nothing_to_add(net: nn.Module) -> None:
    penalty = PenaltyConfig().build(net)
    assert penalty() is None


@pytest.mark.parametrize(("text", "expected"), [("inf", "inf"), ("1.5", 1.5), ("3", 3.0)])
def test_p_from_the_command_line(text: str, expected: object) -> None:
    section = PenaltyConfig()
    config.override(section, [f"p={text}"])
    config.check(section)
    assert section.p == expected


@pytest.mark.parametrize("p", [0.5, math.nan, math.inf, "infinity"])
def test_p_below_one_or_odd_is_refused(p: Any) -> None:
    with pytest.raises(ConfigError, match=r"p is not allowed: .* expected one of inf or a number ≥ 1"):
        config.check(PenaltyConfig(p=p))
