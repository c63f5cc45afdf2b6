"""The distance of features: by hand, alone and in runs."""

import copy

import pytest
import tiny_recipe
import torch
from torch import Tensor, nn

from finegrain.commands import carry_out
from finegrain.engine.checkpoint import Checkpoints
from finegrain.errors import ConfigError
from finegrain.optim.delta import Delta
from finegrain.optim.penalty import PenaltyConfig
from finegrain.recipe import Recipe
from finegrain.tuning.full import Full
from finegrain.tuning.head import Head
from finegrain.tuning.last_block import LastBlock

ROWS = torch.randn(4, 3, generator=torch.Generator().manual_seed(1))


def features(net: nn.Module, rows: Tensor = ROWS) -> list[Tensor]:
    """What TinyNet's blocks give."""
    x, found = net.stem(rows) + net.token[0], []
    for block in net.blocks:
        found.append(block(x))
        x = x + found[-1]
    return found


def move(net: nn.Module) -> None:
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))


def test_the_distance_and_its_gradient_by_hand(net: nn.Module) -> None:
    penalty = Delta(delta=0.5).build(net)
    assert penalty() is None
    with penalty.watch(ROWS):
        net(ROWS)
    assert penalty() == 0
    start = [value.detach() for value in features(net)]
    move(net)
    with penalty.watch(ROWS):
        net(ROWS)
    found = penalty()
    terms = [(now - was).square().sum() / was.square().sum() for now, was in zip(features(net), start, strict=True)]
    expected = 0.5 * sum(terms) / 2
    torch.testing.assert_close(found, expected)
    names, parameters = zip(*[pair for pair in net.named_parameters() if "head" not in pair[0]], strict=True)
    gradients = [torch.autograd.grad(value, parameters) for value in (found, expected)]
    for name, ours, theirs in zip(names, *gradients, strict=True):
        torch.testing.assert_close(ours, theirs, msg=name)


def test_each_batch_is_compared_with_itself(net: nn.Module) -> None:
    penalty = Delta().build(net)
    for rows in (ROWS, 9 * ROWS, ROWS[:1]):
        with penalty.watch(rows):
            net(rows)
        assert penalty() == 0


def test_it_comes_beside_the_penalty_of_weights(net: nn.Module) -> None:
    values = []
    start = copy.deepcopy(net.state_dict())
    for section in (Delta(delta=0.5), PenaltyConfig(l1=0.5), Delta(delta=0.5, l1=0.5)):
        net.load_state_dict(start)
        penalty = section.build(net)
        move(net)
        with penalty.watch(ROWS):
            net(ROWS)
        values.append(penalty())
    torch.testing.assert_close(values[2], values[0] + values[1])


def test_blocks_that_rest_are_not_watched(net: nn.Module) -> None:
    """Before the place where a network is entered, they give nothing."""
    net.requires_grad_(False)
    net.blocks[1].requires_grad_()
    net.blocks[0].register_forward_hook(lambda *_: torch.full((4, 3), torch.nan))
    net.blocks[1].register_forward_pre_hook(lambda *_: (ROWS,))
    penalty = Delta(delta=1.0).build(net)
    start = net.blocks[1](ROWS).detach()
    with torch.no_grad():
        net.blocks[1][1].bias.add_(1.0)
    with penalty.watch(ROWS):
        net(ROWS)
    torch.testing.assert_close(penalty(), start.numel() / start.square().sum())


def test_the_head_alone_has_no_features_to_hold(net: nn.Module) -> None:
    net.requires_grad_(False)
    net.head.requires_grad_()
    with pytest.raises(ConfigError, match=r"penalty.delta has no features to hold: got 0 trained blocks"):
        Delta().build(net)


def test_a_block_that_gives_no_tensor_is_refused(net: nn.Module) -> None:
    class Pair(nn.Linear):
        def forward(self, x: Tensor) -> tuple[Tensor, None]:
            return super().forward(x), None

    class PairNet(type(net)):
        def forward(self, x: Tensor) -> Tensor:
            return self.blocks[1](self.blocks[0](self.stem(x)))[0]

    net.blocks[1], net.__class__ = Pair(3, 3), PairNet
    with (
        pytest.raises(
            ConfigError, match=r"cannot read this block: got blocks\.1; expected a tensor; choose another penalty"
        ),
        Delta().build(net).watch(ROWS),
    ):
        net(ROWS)


@pytest.mark.parametrize("fails", [False, True])
def test_the_network_is_left_as_it_was(net: nn.Module, fails: bool) -> None:
    penalty = Delta().build(net)
    before = copy.deepcopy(net.state_dict())
    try:
        with penalty.watch(ROWS):
            net(ROWS)
            assert not fails
    except AssertionError:
        assert fails
    assert not any(module._forward_hooks for module in net.modules())
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    assert all(parameter.grad is None for parameter in net.parameters())


def test_float32_under_autocast(net: nn.Module) -> None:
    penalty = Delta().build(net)
    move(net)
    with torch.autocast("cpu", dtype=torch.bfloat16), penalty.watch(ROWS):
        net(ROWS)
    found = penalty()
    assert found.dtype == torch.float32
    with penalty.watch(ROWS):
        net(ROWS)
    assert found.item() == pytest.approx(penalty().item(), rel=0.05)


@pytest.fixture
def recipe(tmp_path) -> Recipe:
    recipe = tiny_recipe.config()
    recipe.data.root = str(tiny_recipe.write_images(tmp_path / "images"))
    recipe.penalty = Delta(delta=1.0)
    return recipe


def test_the_stronger_it_is_the_nearer_stay_the_features(recipe: Recipe, tmp_path, monkeypatch) -> None:
    """Of a network whose statistics rest; all other things are equal."""
    recipe.tuning, recipe.model.dropout, recipe.train.epochs = Full(frozen_statistics=True), 0.0, 1
    save, distances = Checkpoints.save, []

    def note(self, trainer, *, kept):
        save(self, trainer, kept=kept)
        distances.append(trainer.watch.__self__._distance.item())

    monkeypatch.setattr(Checkpoints, "save", note)
    carry_out(recipe, ["penalty.delta=1e-6"], out=tmp_path / "free")
    carry_out(recipe, ["penalty.delta=100"], out=tmp_path / "held")
    free, held = distances
    assert 0 < held < free / 2


def test_it_reads_what_a_network_is_entered_with(recipe: Recipe, tmp_path) -> None:
    recipe.tuning, recipe.augment.mixup, recipe.train.epochs = LastBlock(cached_views=1, blocks=2), 0.0, 1
    assert "test top-1" in carry_out(recipe, [], out=tmp_path / "run")


def test_a_resumed_run_ends_as_an_uninterrupted_one(recipe: Recipe, tmp_path, monkeypatch) -> None:
    recipe.train.epochs = 2
    carry_out(recipe, [], out=tmp_path / "whole")
    save = Checkpoints.save

    def save_and_die(self, trainer, *, kept):
        save(self, trainer, kept=kept)
        monkeypatch.undo()
        raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoints, "save", save_and_die)
    with pytest.raises(KeyboardInterrupt):
        carry_out(recipe, [], out=tmp_path / "cut")
    carry_out(recipe, [], out=tmp_path / "cut", resume=True)
    whole, cut = (max((tmp_path / run / "checkpoints").glob("latest-*")) for run in ("whole", "cut"))
    assert (whole / "state.safetensors").read_bytes() == (cut / "state.safetensors").read_bytes()


def test_a_head_alone_is_refused_before_training(recipe: Recipe, tmp_path) -> None:
    recipe.tuning = Head()
    with pytest.raises(ConfigError, match="choose another tuning or penalty"):
        carry_out(recipe, [], out=tmp_path / "run")
