import math
from typing import Any

import pytest
import torch
from small_trainer import (
    FP16,
    SGD,
    VAL,
    Keeper,
    equal,
    linear,
    loader,
    trainer,
    weights,
)
from torch import Tensor, nn

from finegrain.engine.trainer import MAX_SKIPPED_STEPS
from finegrain.errors import NumericsError


class Scripted(nn.Module):
    """Cross-entropy, times the number that the script has for a call, 1 where it has none."""

    def __init__(self, script: dict[int, float]) -> None:
        super().__init__()
        self.script, self.calls = script, 0

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        factor = self.script.get(self.calls, 1.0)
        self.calls += 1
        return nn.functional.cross_entropy(logits, labels) * factor


def spoil_gradients(model: nn.Module, calls: set[int], value: float) -> None:
    """Make one number of one gradient `value` in these backward passes."""
    seen = iter(range(10**6))

    def spoil(gradient: Tensor) -> Tensor:
        if next(seen) in calls:
            gradient = gradient.clone()
            gradient.view(-1)[0] = value
        return gradient

    list(model.parameters())[-1].register_hook(spoil)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_stops_before_the_weights_change(value: float) -> None:
    keeper = Keeper()
    made = trainer(loss=Scripted({6: value}), keeper=keeper, ema=True)
    before = {}
    made.loss.register_forward_hook(lambda *_: before.update(weights(made.model)))
    with pytest.raises(NumericsError) as caught:
        made.fit(loader(), VAL)
    message = str(caught.value)
    assert message.startswith(f"the loss is not finite at step 6 of epoch 2: got {value} with learning rate 0.00")
    order = [int(i) for batch in loader().epoch(1) for i in batch.indices][6:9]
    assert f" on {', '.join(f'{i}.png' for i in order)};" in message
    assert "expected a finite number; lower optim.lr" in message
    assert keeper.saved == [(4, True)]
    learnt = [name for name, _ in made.model.named_parameters()]
    assert all(torch.equal(before[name], made.model.state_dict()[name]) for name in learnt)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("clip", [None, 1.0])
def test_a_gradient_that_is_not_finite_stops_before_the_weights_change(value: float, clip: float | None) -> None:
    made = trainer(grad_clip_norm=clip)
    spoil_gradients(made.model, {0}, value)
    before = dict(made.model.named_parameters())
    before = {name: tensor.detach().clone() for name, tensor in before.items()}
    with pytest.raises(NumericsError, match=r"the gradient norm is not finite at step 0 of epoch 1: .* \d\.png"):
        made.fit(loader(), VAL)
    assert all(torch.equal(before[name], tensor) for name, tensor in made.model.named_parameters())


def test_of_many_files_eight_are_named() -> None:
    made = trainer(loss=Scripted({0: math.nan}))
    with pytest.raises(NumericsError, match=r"on (\d+\.png, ){7}\d+\.png and 2 more;"):
        made.fit(loader(10, batch_size=10), VAL)


def test_an_overflow_in_fp16_skips_the_step_and_nothing_else_moves() -> None:
    made = trainer(model=linear(), runtime=FP16, optimizer=SGD, epochs=1, ema=True, max_steps=None)
    spoil_gradients(made.model, {1}, math.inf)
    rates, states = [], []
    made.keeper.stop_if_asked = lambda t, saved=False: (
        rates.append(t.optimizer.param_groups[0]["lr"]),
        states.append(weights(t.model)),
    )
    made.fit(loader(), VAL)
    assert (made.progress.step, made.progress.skipped, made.progress.skipped_in_a_row) == (3, 1, 0)
    assert rates[0] == rates[1] > rates[2] > rates[3]
    assert equal(states[0], states[1])
    assert not equal(states[1], states[2])
    assert made.scaler.get_scale() == 2**15


def test_fp16_that_only_overflows_is_given_up_with_advice() -> None:
    made = trainer(model=linear(), runtime=FP16, optimizer=SGD, epochs=20)
    spoil_gradients(made.model, set(range(100)), math.inf)
    before = weights(made.model)
    with pytest.raises(NumericsError, match=r"fp16 gradients overflow.*skipped steps in a row, scale.*precision=bf16"):
        made.fit(loader(), VAL)
    assert made.progress.step == 0
    assert made.progress.skipped <= MAX_SKIPPED_STEPS
    assert equal(weights(made.model), before)


def test_a_norm_that_overflows_is_never_stepped_with() -> None:
    """Every gradient is finite, but not the sum of their squares."""
    made = trainer(model=linear(), runtime=FP16, optimizer=SGD, grad_clip_norm=None, epochs=20)
    next(made.model.parameters()).register_hook(lambda gradient: torch.full_like(gradient, 1e30))
    before = weights(made.model)
    with pytest.raises(NumericsError):
        made.fit(loader(), VAL)
    assert equal(weights(made.model), before)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_validation_that_is_not_finite_is_never_the_best(value: float) -> None:
    keeper = Keeper()
    made = trainer(model=linear(), keeper=keeper)

    def spoil(module: nn.Module, _: Any, logits: Tensor) -> Tensor:
        return logits if module.training or made.progress.epoch == 0 else logits * value

    made.model.register_forward_hook(spoil)
    with pytest.raises(NumericsError, match="predictions are not finite: got 6 of 6 images"):
        made.fit(loader(), VAL)
    assert keeper.saved == [(4, True)]
