import math
from collections.abc import Mapping

import pytest
import torch
from small_trainer import (
    CPU,
    FP16,
    MIXUP,
    SGD,
    VAL,
    Keeper,
    equal,
    linear,
    loader,
    trainer,
    weights,
)

from finegrain.engine.evaluate import predict
from finegrain.engine.trainer import TrainConfig
from finegrain.metrics.classification import evaluate_predictions
from finegrain.runtime import Runtime

# The steps


def test_accumulated_batches_give_the_gradient_of_one_big_batch() -> None:
    steps = {}
    for accumulate, batch_size in ((1, 12), (4, 3)):
        made = trainer(
            model=linear(), optimizer=SGD, accumulate_steps=accumulate, max_steps=1, grad_clip_norm=None, batch_size=3
        )
        made.fit(loader(12, batch_size=batch_size), VAL)
        assert made.progress.step == 1
        steps[accumulate] = weights(made.model)
    torch.testing.assert_close(steps[1], steps[4], rtol=1e-5, atol=1e-7)


def test_every_image_of_a_short_group_weighs_the_same() -> None:
    steps = {}
    for accumulate, batch_size in ((1, 11), (4, 3)):  # 11 images: the fourth batch has two
        made = trainer(
            model=linear(), optimizer=SGD, accumulate_steps=accumulate, max_steps=1, grad_clip_norm=None, batch_size=3
        )
        made.fit(loader(11, batch_size=batch_size), VAL)
        assert made.progress.step == 1
        steps[accumulate] = weights(made.model)
    torch.testing.assert_close(steps[1], steps[4], rtol=1e-5, atol=1e-7)


def test_an_epochs_last_group_may_be_short() -> None:
    made = trainer(model=linear(), accumulate_steps=3)
    images = []
    for batch in range(4):
        made.progress.batch = batch
        images.append(made._group_images(loader(11, batch_size=3)))
    assert images == [9, 9, 9, 2]
    made.progress.batch = 0
    made.fit(loader(), VAL)
    assert made.progress.step == 6


@pytest.mark.parametrize("runtime", [CPU, FP16], ids=["fp32", "fp16"])
def test_the_gradient_is_clipped_after_it_is_unscaled(runtime: Runtime) -> None:
    made = trainer(model=linear(), optimizer=SGD, runtime=runtime, max_steps=1, grad_clip_norm=0.01)
    before = weights(made.model)
    made.fit(loader(), VAL)
    moved = torch.cat([(after - before[name]).flatten() for name, after in weights(made.model).items()])
    torch.testing.assert_close(moved.norm().item(), 0.01, rtol=1e-3, atol=0.0)


def test_a_small_gradient_is_not_clipped() -> None:
    after = []
    for clip in (None, 1e6):
        made = trainer(model=linear(), optimizer=SGD, max_steps=2, grad_clip_norm=clip)
        made.fit(loader(), VAL)
        after.append(weights(made.model))
    assert equal(*after)


def test_the_penalty_acts_on_the_weights_but_not_on_the_recorded_loss() -> None:
    rows, moved = [], []
    for factor in (0.0, 0.5):
        model = linear()
        before = weights(model)
        penalty = lambda model=model, factor=factor: factor * sum(p.square().sum() for p in model.parameters())  # noqa: E731
        made = trainer(model=model, optimizer=SGD, penalty=penalty, max_steps=1, grad_clip_norm=None)
        rows += made.fit(loader(), VAL)
        moved.append({name: after - before[name] for name, after in weights(model).items()})
    assert rows[0]["train_loss"] == rows[1]["train_loss"]
    expected = {name: moved[0][name] - before[name] for name in before}
    torch.testing.assert_close(moved[1], expected, rtol=1e-4, atol=1e-6)


def test_the_rates_follow_the_schedule_step_by_step() -> None:
    made = trainer(optimizer=SGD)
    rates = []
    made.keeper.stop_if_asked = lambda t, saved=False: rates.append(
        (t.progress.step, t.optimizer.param_groups[0]["lr"])
    )
    made.fit(loader(), VAL)
    assert len(rates) == 12 + 3 * (len(VAL) + 1)  # each step, each batch of a validation, each epoch
    for step, rate in rates:
        assert rate == pytest.approx((1 + math.cos(math.pi * step / 12)) / 2, abs=1e-12)


@pytest.mark.parametrize("steps", [1, 3])
def test_the_train_loss_and_accuracy_are_those_of_the_images(steps: int) -> None:
    """The last batch is smaller than the others."""
    made = trainer(model=linear(), optimizer=lambda p: torch.optim.SGD(p, lr=0.0), epochs=2, accumulate_steps=steps)
    rows = made.fit(loader(preset="none"), VAL)
    whole = predict(made.model, loader(train=False), runtime=CPU, title="")
    metrics = evaluate_predictions(whole.labels, whole.probabilities)
    assert 0 < metrics.top1 < 1
    for row in rows:
        assert row["train_loss"] == pytest.approx(metrics.loss, rel=1e-5)
        assert row["train_top1"] == metrics.top1


def test_mixed_images_are_of_no_one_class_so_none_is_named_right() -> None:
    rows = trainer(mix=MIXUP, epochs=2).fit(loader(), VAL)
    assert [{"train_loss", "train_top1"} & row.keys() for row in rows] == [{"train_loss"}] * 2


# Validation


def test_the_average_of_the_weights_is_what_is_evaluated_and_kept() -> None:
    made = trainer(ema=True, epochs=1)
    assert made.ema is not None
    assert made.evaluated_model is made.ema.module
    (row,) = made.fit(loader(), VAL)
    losses = {}
    for name, model in {"average": made.ema.module, "weights": made.model}.items():
        predictions = predict(model, VAL, runtime=CPU, title="")
        losses[name] = evaluate_predictions(predictions.labels, predictions.probabilities).loss
    assert row["eval_loss"] == losses["average"] != losses["weights"]


def test_validation_changes_nothing() -> None:
    """Neither the statistics of the model nor the random numbers of the next epoch."""
    many, few = trainer(), trainer()
    validate = many._validate
    many._validate = lambda val: validate(val) and validate(val)
    many.fit(loader(), VAL)
    few.fit(loader(), VAL)
    assert equal(weights(many.model), weights(few.model))


def test_test_is_judged_after_every_epoch_for_the_curves_and_changes_nothing() -> None:
    looked, plain = trainer(ema=True, patience=9), trainer(ema=True, patience=9)
    test, seen = loader(9, train=False), []

    def note(row: Mapping[str, float]) -> None:
        assert looked.ema is not None
        said = predict(looked.ema.module, test, runtime=CPU, title="")
        metrics = evaluate_predictions(said.labels, said.probabilities)
        seen.append({"test_loss": metrics.loss, "test_top1": metrics.top1})

    rows = looked.fit(loader(), VAL, test, on_epoch=note)
    assert [{key: row.pop(key) for key in ("test_loss", "test_top1")} for row in rows] == seen
    assert equal(plain.fit(loader(), VAL), rows)
    assert equal(weights(looked.model), weights(plain.model))
    assert equal(looked.best.state_dict(), plain.best.state_dict())


def test_the_best_epoch_is_saved_as_such_and_patience_ends_the_run() -> None:
    keeper = Keeper()
    made = trainer(keeper=keeper, epochs=10, patience=2, monitor="macro_f1")
    values = iter([0.2, 0.5, 0.5, 0.4, 0.9])
    made._validate = lambda val: {"epoch": float(made.progress.epoch), "eval_macro_f1": next(values), "lr": 0.1}
    history = made.fit(loader(), VAL)
    assert [row["eval_macro_f1"] for row in history] == [0.2, 0.5, 0.5, 0.4]
    assert [kept for _, kept in keeper.saved] == [True, True, False, False]
    assert made.finished
    assert made.best.epoch == made.progress.kept == 1


def test_the_last_finite_epoch_is_kept_where_validation_is_not_to_choose() -> None:
    keeper = Keeper()
    made = trainer(keeper=keeper, epochs=4, monitor="last")
    values = iter([0.2, 0.5, 0.4, math.nan])
    made._validate = lambda val: {"epoch": float(made.progress.epoch), "eval_top1": next(values), "lr": 0.1}
    made.fit(loader(), VAL)
    assert [kept for _, kept in keeper.saved] == [True, True, True, False]
    assert (made.best.epoch, made.progress.kept) == (1, 2)


def test_the_last_epoch_is_not_waited_for() -> None:
    (message,) = TrainConfig(monitor="last", patience=3).faults()
    assert message.startswith("train.patience: got 3; expected none, as train.monitor is last")
    assert not TrainConfig(patience=3).faults()
    assert not TrainConfig(monitor="last").faults()


@pytest.mark.parametrize("steps", [1, 4, 6])
def test_no_more_steps_than_asked_for(steps: int) -> None:
    keeper, rows = Keeper(), []
    made = trainer(keeper=keeper, max_steps=steps)
    history = made.fit(loader(), VAL, on_epoch=rows.append)
    assert made.progress.step == steps
    assert len(history) == math.ceil(steps / 4)
    assert rows == history
    assert keeper.saved[-1][0] == steps


def test_states_are_saved_between_epochs_too() -> None:
    keeper = Keeper()
    trainer(keeper=keeper, save_steps=3, epochs=2).fit(loader(), VAL)
    assert [step for step, _ in keeper.saved] == [3, 4, 6, 8]


def test_a_finished_run_has_nothing_left_to_do() -> None:
    made = trainer(epochs=1)
    made.fit(loader(), VAL)
    before = weights(made.model)
    assert len(made.fit(loader(), VAL)) == 1
    assert equal(weights(made.model), before)
