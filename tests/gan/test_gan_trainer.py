import logging
import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from small_gan import CPU, Keeper, distances, equal, feed, gan
from torch import Tensor

from finegrain.errors import NumericsError
from finegrain.gan.augment import DiffAugment
from finegrain.gan.losses import Hinge, Relativistic

PLAIN = DiffAugment(flip=0, translation=0, cutout=0)


def copied(module: torch.nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


@pytest.mark.parametrize("loss", [Hinge(), Relativistic()])
def test_the_generators_step_leaves_the_discriminator_alone(loss: Hinge | Relativistic) -> None:
    trainer = gan(loss=loss)
    judge, generator = trainer.method.discriminator.network, trainer.method.generator.network
    real, labels = torch.randn(4, 3, 32, 32), torch.tensor([0, 1, 2, 0])
    before, earlier = copied(judge), copied(generator)
    graphs: list[bool] = []
    judge.register_forward_hook(lambda module, inputs, verdict: graphs.append(verdict.score.requires_grad))
    trainer.method.generator_step(real, labels, 0)
    assert equal(copied(judge), before)
    assert all(parameter.grad is None for parameter in judge.parameters())
    assert all(parameter.requires_grad for parameter in judge.parameters())
    assert judge.training
    assert graphs == ([True, False] if loss.compares else [True])
    assert not equal(copied(generator), earlier)


def test_the_discriminators_step_leaves_the_generators_weights_alone() -> None:
    trainer = gan()
    judge, generator = trainer.method.discriminator.network, trainer.method.generator.network
    before, weights = copied(judge), [parameter.clone() for parameter in generator.parameters()]
    trainer.method.discriminator_step(torch.randn(4, 3, 32, 32), torch.tensor([0, 1, 2, 0]), 0)
    assert equal(list(generator.parameters()), weights)
    assert all(parameter.grad is None for parameter in generator.parameters())
    assert not equal(copied(judge), before)


def test_real_and_generated_images_are_judged_in_one_batch_of_the_same_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = gan(augment=PLAIN)
    seen: list[tuple[Tensor, Tensor]] = []
    judge = trainer.method.discriminator.network
    judge.register_forward_pre_hook(lambda module, inputs: seen.append((inputs[0], inputs[1])))
    real, labels = torch.randn(4, 3, 32, 32), torch.tensor([0, 1, 2, 0])
    trainer.method.discriminator_step(real, labels, 0)
    ((images, both),) = seen
    assert torch.equal(images[:4], real)
    assert torch.equal(both, torch.cat([labels, labels]))
    assert not images.requires_grad


@pytest.mark.parametrize(("conditioning", "of_generated"), [("classifier", True), ("reacgan", False)])
def test_a_second_head_teaches_both_networks_the_class(conditioning: str, of_generated: bool) -> None:
    """With an adversarial loss of nothing, what is left is the class's: its gradient reaches both."""

    class Nothing(Hinge):
        def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
            return 0 * (real.sum() + fake.sum())

        def generator(self, fake: Tensor, real: Tensor | None) -> Tensor:
            return 0 * fake.sum()

    method: Any = gan(loss=Nothing(), discriminator={"conditioning": conditioning}, augment=PLAIN).method
    judge = method.discriminator.network
    seen: list[Any] = []
    judge.register_forward_hook(lambda module, inputs, verdict: seen.append(verdict))
    losses: list[float] = []
    for player in (method.discriminator, method.generator):
        step = player.step
        player.step = lambda loss, step=step, **rest: [losses.append(loss.item()), step(loss, **rest)][1]
    labels = torch.tensor([0, 1, 2, 0])
    for player, go in ((method.discriminator, method.discriminator_step), (method.generator, method.generator_step)):
        before = copied(player.network)
        go(torch.randn(4, 3, 32, 32), labels, 0)
        assert not equal(copied(player.network), before)
    real, fake = (judge.class_loss(half, labels).item() for half in seen[0].halves())
    assert losses[0] == pytest.approx(real + fake if of_generated else real, rel=1e-5)
    assert losses[1] == pytest.approx(judge.class_loss(seen[1], labels).item(), rel=1e-5)


def test_batch_norm_of_the_discriminator_trains_and_is_left_alone_by_the_generator() -> None:
    trainer = gan(discriminator={"normalisation": "batch", "conditioning": "concat"})
    judge, before = trainer.method.discriminator.network, copied(trainer.method.discriminator.network)
    trainer.method.generator_step(torch.randn(4, 3, 32, 32), torch.tensor([0, 1, 2, 0]), 0)
    assert equal(copied(judge), before)
    trainer.fit(feed())
    assert not equal(copied(judge), before)


def test_the_average_has_the_statistics_of_batch_norm_too() -> None:
    trainer = gan(steps=3)
    start = copied(trainer.average.module)
    trainer.fit(feed())
    average, network = trainer.average.module.state_dict(), trainer.method.generator.network.state_dict()
    statistics = [name for name in average if name.endswith("running_mean")]
    assert len(statistics) == 3
    for name in statistics:
        assert not torch.equal(average[name], start[name])
        assert not torch.equal(average[name], network[name])
    assert not trainer.evaluated_model.training


def test_the_class_fades_in_over_a_share_of_the_steps() -> None:
    trainer = gan(steps=10, fade_fraction=0.4)
    assert [trainer.method.condition(number) for number in range(6)] == [0, 0.25, 0.5, 0.75, 1, 1]
    assert gan(fade_fraction=0.0).method.condition(0) == 1


def test_the_nearest_generator_is_kept_and_patience_ends_the_training() -> None:
    keeper = Keeper()
    trainer = gan(keeper=keeper, steps=20, patience=2, evaluate=distances(3.0, 1.0, math.nan, 2.0, 0.0))
    trainer.fit(feed())
    assert keeper.saved == [(2, True), (4, True), (6, False), (8, False)]
    assert trainer.finished
    assert (trainer.best.epoch, trainer.progress.step) == (4, 8)


def test_a_row_holds_the_means_since_the_last_evaluation() -> None:
    rows: list[Any] = []
    trainer = gan(steps=3, augment=PLAIN)
    trainer.fit(feed(), on_row=rows.append)
    assert rows == trainer.progress.history
    assert [row["step"] for row in rows] == [2, 3]
    names = {"step", "d_loss", "d_real", "d_fake", "g_loss", "kernel_distance", "seconds"}
    assert set(rows[0]) == names
    assert all(map(math.isfinite, rows[0].values()))
    assert trainer.progress.counts == {}


@pytest.mark.parametrize(
    ("side", "what"), [("discriminator", "loss"), ("generator", "loss"), ("generator", "gradient")]
)
def test_what_is_not_finite_names_the_step_and_changes_no_weight(side: str, what: str) -> None:
    trainer = gan()
    trainer.fit(feed())
    trainer.progress.step = 3
    player = getattr(trainer.method, side)
    before = copied(player.network)

    class Broken(Hinge):
        def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
            return fake.sum() * (math.nan if side == "discriminator" else 1)

        def generator(self, fake: Tensor, real: Tensor | None) -> Tensor:
            return fake.sum() * math.inf if what == "loss" else (fake - fake.detach()).sqrt().sum()

    trainer.method.loss = Broken()
    with pytest.raises(NumericsError, match=rf"the {side}'s {what} is not finite at step 3: got (nan|-?inf)"):
        trainer._take_step(iter([(torch.randn(4, 3, 32, 32), torch.tensor([0, 1, 2, 0]))] * 2))
    after = copied(player.network)
    still = {name for name in after if not name.endswith(("running_mean", "running_var", "_tracked", "._u", "._v"))}
    assert all(torch.equal(after[name], before[name]) for name in still)


@pytest.mark.parametrize("loss", [Hinge(r1=1.0), Relativistic()])
def test_bf16_trains_and_keeps_its_weights_in_full_precision(loss: Hinge | Relativistic) -> None:
    trainer = gan(loss=loss, runtime=replace(CPU, precision="bf16"))
    trainer.fit(feed())
    assert math.isfinite(trainer.progress.history[-1]["g_loss"])
    for player in (trainer.method.generator, trainer.method.discriminator):
        assert {p.dtype for p in player.network.parameters()} == {torch.float32}


def test_the_two_networks_have_scalers_of_their_own() -> None:
    trainer = gan()
    assert trainer.method.generator.scaler is not trainer.method.discriminator.scaler
    assert set(trainer.state()["method"]["generator"]) == {"network", "optimizer", "scaler", "skipped_in_a_row"}


def test_the_log_says_which_step_was_best(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    gan(steps=4, evaluate=distances(1.0, 2.0)).fit(feed())
    first, second = (record.getMessage() for record in caplog.records)
    assert first.startswith("step 2/4")
    assert first.endswith("kernel_distance 1  best")
    assert second.endswith("kernel_distance 2")
