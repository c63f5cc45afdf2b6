import pytest
import torch
from torch import nn

from finegrain import config
from finegrain.errors import ConfigError
from finegrain.optim.adam import Adam
from finegrain.optim.adamw import AdamW
from finegrain.optim.base import OptimConfig
from finegrain.optim.sgd import SGD

FAMILY = [(SGD(lr=0.1), torch.optim.SGD), (Adam(lr=0.1), torch.optim.Adam), (AdamW(lr=0.1), torch.optim.AdamW)]


@pytest.mark.parametrize(("section", "kind"), FAMILY, ids=lambda x: type(x).__name__)
class TestEveryOptimiser:
    def test_kind_and_groups(self, section: OptimConfig, kind: type, net: nn.Module) -> None:
        optimizer = section.build(net)
        assert type(optimizer) is kind
        assert [group["name"] for group in optimizer.param_groups][:2] == ["backbone, not decayed", "backbone"]
        assert all(group["lr"] == 0.1 for group in optimizer.param_groups)

    def test_only_trainable_weights_move(self, section: OptimConfig, kind: type, net: nn.Module) -> None:
        net.get_submodule("stem").requires_grad_(False)
        before = {name: parameter.detach().clone() for name, parameter in net.named_parameters()}
        optimizer = section.build(net)
        for _ in range(2):
            optimizer.zero_grad()
            net(torch.ones(2, 3)).square().sum().backward()
            optimizer.step()
        moved = {name for name, parameter in net.named_parameters() if not torch.equal(parameter, before[name])}
        assert moved == {name for name in before if not name.startswith("stem")}

    def test_members_have_few_fields_and_pass_the_check(self, section: OptimConfig, kind: type, net: nn.Module) -> None:
        config.check(section)
        assert len(config.flatten(section)) <= 12


def test_sgd_step_by_hand(net: nn.Module) -> None:
    optimizer = SGD(lr=0.5, weight_decay=0.1, momentum=0.0).build(net)
    weight, bias = net.get_parameter("head.weight"), net.get_parameter("head.bias")
    start = weight.detach().clone(), bias.detach().clone()
    for parameter in net.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    torch.testing.assert_close(weight.detach(), start[0] - 0.5 * (1 + 0.1 * start[0]))
    torch.testing.assert_close(bias.detach(), start[1] - 0.5)


def test_adamw_decay_is_decoupled(net: nn.Module) -> None:
    weight = net.get_parameter("head.weight")
    start = weight.detach().clone()
    optimizer = AdamW(lr=0.5, weight_decay=0.1).build(net)
    for parameter in net.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    torch.testing.assert_close(weight.detach(), start * (1 - 0.5 * 0.1))


def test_nesterov_needs_momentum() -> None:
    with pytest.raises(ConfigError, match=r"Nesterov needs momentum: got 0\.0"):
        config.check(SGD(nesterov=True, momentum=0.0))


@pytest.mark.parametrize("word", ["lr=-1", "lr=inf", "lr=nan", "layer_decay=1.5", "weight_decay=-0.1", "momentum=1"])
def test_out_of_range(word: str) -> None:
    section = SGD()
    config.override(section, [word])
    with pytest.raises(ConfigError, match="is not allowed"):
        config.check(section)
