import math
from contextlib import suppress

import pytest
import torch
from small_gan import CPU
from torch import nn

from finegrain.errors import NumericsError
from finegrain.gan.player import MAX_SKIPPED_STEPS, Player


def player(*, scale: float | None = None) -> Player[nn.Linear]:
    """A linear network; with `scale`, one whose gradients are scaled as in fp16."""
    torch.manual_seed(0)
    network = nn.Linear(2, 1)
    made = Player(name="judge", network=network, optimizer=torch.optim.SGD(network.parameters(), lr=0.1), runtime=CPU)
    if scale is not None:
        made.scaler = torch.amp.GradScaler("cpu", init_scale=scale)
    return made


def loss(made: Player[nn.Linear], *, overflows: bool = False) -> torch.Tensor:
    """Twice the first weight; or a finite loss whose gradient is infinite."""
    weight = made.network.weight[0, 0]
    return (weight - weight.detach()).sqrt() if overflows else 2 * weight


@pytest.mark.parametrize("scale", [None, 1024.0])
def test_a_step_goes_down_the_unscaled_gradient_and_reads_what_is_watched(scale: float | None) -> None:
    made = player(scale=scale)
    start = made.network.weight[0, 0].item()
    read = made.step(loss(made), number=1, watched={"a": torch.tensor(3.0), "b": torch.tensor(-1.5)})
    assert read == {"a": 3.0, "b": -1.5}
    assert made.network.weight[0, 0].item() == pytest.approx(start - 0.1 * 2)


def test_gradients_of_one_step_are_not_those_of_the_next() -> None:
    made = player()
    start = made.network.weight[0, 0].item()
    for number in range(2):
        made.step(loss(made), number=number, watched={})
    assert made.network.weight[0, 0].item() == pytest.approx(start - 0.4)


def test_an_overflow_in_fp16_skips_the_step_and_lowers_the_scale() -> None:
    made = player(scale=1024.0)
    weight = made.network.weight.clone()
    made.step(loss(made, overflows=True), number=4, watched={})
    assert torch.equal(made.network.weight, weight)
    assert made.scaler.get_scale() == 512
    made.step(loss(made), number=5, watched={})
    assert not torch.equal(made.network.weight, weight)
    assert made.state()["skipped_in_a_row"] == 0


def test_overflows_without_end_are_an_error_even_across_a_resume() -> None:
    made = player(scale=2.0**30)
    for number in range(MAX_SKIPPED_STEPS - 1):
        made.step(loss(made, overflows=True), number=number, watched={})
    resumed = player(scale=1.0)
    resumed.restore(made.state())
    assert resumed.scaler.get_scale() == 2.0 ** (30 - MAX_SKIPPED_STEPS + 1)
    with pytest.raises(NumericsError, match=r"fp16 gradients of the judge overflow at step 99: got 20 skipped"):
        resumed.step(loss(resumed, overflows=True), number=99, watched={})


def test_without_a_scaler_an_infinite_gradient_is_an_error() -> None:
    made = player()
    weight = made.network.weight.clone()
    with pytest.raises(NumericsError, match=r"the judge's gradient is not finite at step 7: got inf with .* rate 0.1"):
        made.step(loss(made, overflows=True), number=7, watched={})
    with pytest.raises(NumericsError, match=r"the judge's loss is not finite at step 8: got nan"):
        made.step(loss(made) * math.nan, number=8, watched={})
    assert torch.equal(made.network.weight, weight)


def test_frozen_means_no_gradient_and_eval_mode_and_ends_with_an_error_too() -> None:
    made = player()
    with suppress(KeyError), made.frozen():
        assert not made.network.training
        assert not any(parameter.requires_grad for parameter in made.parameters)
        raise KeyError
    assert made.network.training
    assert all(parameter.requires_grad for parameter in made.parameters)
