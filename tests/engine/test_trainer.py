import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from finegrain.data.base import Sample
from finegrain.data.loader import Loader
from finegrain.data.transforms import AugmentConfig, eval_transform
from finegrain.engine.checkpoint import read_state, write_state
from finegrain.engine.ema import WeightEMA
from finegrain.engine.evaluate import predict
from finegrain.engine.interrupt import Interrupted
from finegrain.engine.trainer import MAX_SKIPPED_STEPS, TrainConfig, Trainer
from finegrain.errors import NumericsError
from finegrain.metrics.classification import evaluate_predictions
from finegrain.optim.cosine import Cosine
from finegrain.preprocessing import Preprocessing
from finegrain.runtime import Runtime

K = 3
SMALL = Preprocessing(image_size=8, resize_size=8, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), interpolation="bilinear")
CPU = Runtime(device=torch.device("cpu"), precision="fp32", channels_last=True, num_workers=0, deterministic=True)
FP16 = replace(CPU, precision="fp16")
SGD = lambda parameters: torch.optim.SGD(parameters, lr=1.0)  # noqa: E731
ADAMW = lambda parameters: torch.optim.AdamW(parameters, lr=0.01, weight_decay=0.1)  # noqa: E731
MIXUP = AugmentConfig(mixup=0.5, mix_probability=0.7).mix(K)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class Noise:
    """Images of noise, brighter in one channel by class."""

    def read(self, sample: Sample) -> NDArray[np.uint8]:
        random = np.random.default_rng(int(sample.path.removesuffix(".png")))
        pixels = random.integers(0, 100, (12, 12, 3), dtype=np.uint8)
        pixels[..., sample.label] += 50
        return pixels


def loader(count: int = 11, *, batch_size: int = 3, train: bool = True, preset: Any = "strong", workers: int = 0) -> Loader:
    samples = [Sample(path=f"{number}.png", label=number % K) for number in range(count)]
    transform = AugmentConfig(preset=preset).train_transform(SMALL) if train else eval_transform(SMALL)
    sizes = {"batch_size": batch_size, "num_workers": workers}
    return Loader(samples, source=Noise(), transform=transform, seed=7, train=train, **sizes)


VAL = loader(6, train=False)


def network() -> nn.Module:
    """A network with all that a resume must restore: statistics, dropout, a layout in memory."""
    torch.manual_seed(0)
    parts = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.3), nn.Linear(144, K)
    return nn.Sequential(*parts).to(memory_format=torch.channels_last)


def linear() -> nn.Module:
    """A network whose images do not meet in a batch."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(192, K))


@dataclass
class Keeper:
    """Remembers what it was asked to save; asks for a stop after `stop` steps."""

    stop: int | None = None
    saved: list[tuple[int, bool]] = field(default_factory=list)
    folder: Path | None = None

    def save(self, trainer: Trainer, *, is_best: bool) -> None:
        self.saved.append((trainer.progress.step, is_best))
        if self.folder is not None:
            (folder := self.folder / f"{len(self.saved)}").mkdir()
            write_state(folder, trainer.state(), identity={})

    def stop_if_asked(self, trainer: Trainer) -> None:
        if trainer.progress.step == self.stop:
            self.save(trainer, is_best=False)
            raise Interrupted(15, where="here")


def trainer(
    *,
    model: nn.Module | None = None,
    loss: nn.Module | None = None,
    optimizer: Callable[[Any], torch.optim.Optimizer] = ADAMW,
    runtime: Runtime = CPU,
    mix: Any = None,
    ema: bool = False,
    keeper: Keeper | None = None,
    penalty: Callable[[], Tensor | None] = lambda: None,
    batches: int = 4,
    **config: Any,
) -> Trainer:
    model = model or network()
    settings = TrainConfig(**{"epochs": 3, "batch_size": 3, **config})
    built = optimizer(model.parameters())
    return Trainer(
        config=settings,
        model=model,
        loss=loss or nn.CrossEntropyLoss(),
        penalty=penalty,
        optimizer=built,
        schedule=Cosine().build(built, steps_per_epoch=batches, epochs=settings.epochs),
        runtime=runtime,
        preprocessing=SMALL,
        mix=mix,
        ema=WeightEMA(model, decay=0.9) if ema else None,
        seed=7,
        keeper=keeper or Keeper(),
    )


def weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def equal(left: Any, right: Any) -> bool:
    """Equality to the bit of nested states, whatever the time they took."""
    if isinstance(left, Tensor):
        return torch.equal(left, right)
    if isinstance(left, dict):
        keys = left.keys() - {"seconds"}
        return keys == right.keys() - {"seconds"} and all(equal(left[key], right[key]) for key in keys)
    if isinstance(left, (list, tuple)):
        return len(left) == len(right) and all(map(equal, left, right))
    return left == right


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


# Going on where a run stood


FULL = {"mix": MIXUP, "ema": True, "accumulate_steps": 2, "patience": 9, "monitor": "loss", "epochs": 2}


def finish(state: dict[str, Any] | None = None, *, workers: int = 0, **settings: Any) -> Trainer:
    """Train to the end, from a saved state or from the start."""
    made = trainer(**{**FULL, **settings})
    if state is not None:
        made.restore(state)
    made.fit(loader(workers=workers), VAL)
    return made


def test_the_same_run_twice_is_the_same_to_the_bit() -> None:
    assert equal(finish().state(), finish().state())


@pytest.mark.parametrize(("optimizer", "steps"), [(ADAMW, 1), (SGD, 2)])
def test_every_saved_state_leads_to_the_same_end(tmp_path: Path, optimizer: Any, steps: int) -> None:
    """Mid-epoch and at its end, by way of the disk, with dropout, mixup, random crops, averages and statistics."""
    settings = {"optimizer": optimizer, "accumulate_steps": steps}
    whole = finish(keeper=Keeper(folder=tmp_path), save_steps=1, **settings)
    saved = sorted(tmp_path.iterdir())
    assert len(saved) == 8 // steps
    for folder in saved:
        resumed = finish(read_state(folder, identity={}), **settings)
        assert equal(resumed.state(), whole.state()), folder.name


def test_a_resume_may_load_with_other_workers(tmp_path: Path) -> None:
    whole = finish()
    with pytest.raises(Interrupted):
        finish(keeper=Keeper(stop=3, folder=tmp_path), workers=2)
    assert equal(finish(read_state(tmp_path / "2", identity={})).state(), whole.state())


def test_a_resumed_epoch_sees_each_image_once(tmp_path: Path) -> None:
    seen: list[int] = []

    class Watched(Loader):
        def epoch(self, epoch: int, start_step: int = 0) -> Any:
            for batch in super().epoch(epoch, start_step):
                seen.extend(batch.indices.tolist())
                yield batch

    train = loader()
    train.__class__ = Watched
    with pytest.raises(Interrupted):
        trainer(keeper=Keeper(stop=6, folder=tmp_path)).fit(train, VAL)
    resumed = trainer()
    resumed.restore(read_state(tmp_path / "2", identity={}))
    resumed.fit(train, VAL)
    assert [sorted(seen[start : start + 11]) for start in (0, 11, 22)] == [list(range(11))] * 3
    assert len(seen) == 33


@pytest.mark.parametrize("stop", [2, 4, 5])
def test_a_stop_at_the_very_last_step_still_validates(tmp_path: Path, stop: int) -> None:
    """The steps are used up, but the epoch's row and best model are not written yet."""
    whole = finish(max_steps=stop, accumulate_steps=1)
    with pytest.raises(Interrupted):
        finish(max_steps=stop, accumulate_steps=1, keeper=Keeper(stop=stop, folder=tmp_path))
    last = max(tmp_path.iterdir())
    assert equal(finish(read_state(last, identity={}), max_steps=stop, accumulate_steps=1).state(), whole.state())


# Numbers that are not finite


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
    made.keeper.stop_if_asked = lambda t: (rates.append(t.optimizer.param_groups[0]["lr"]), states.append(weights(t.model)))
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


def test_an_epochs_last_short_group_is_averaged_over_its_own_batches() -> None:
    made = trainer(model=linear(), accumulate_steps=3)
    sizes = []
    for batch in range(4):
        made.progress.batch = batch
        sizes.append(made._group_size(4))
    assert sizes == [3, 3, 3, 1]
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
    made.keeper.stop_if_asked = lambda t: rates.append((t.progress.step, t.optimizer.param_groups[0]["lr"]))
    made.fit(loader(), VAL)
    assert len(rates) == 12 + 3
    for step, rate in rates:
        assert rate == pytest.approx((1 + math.cos(math.pi * step / 12)) / 2, abs=1e-12)


def test_the_train_loss_is_the_mean_over_the_images() -> None:
    """The last batch is smaller than the others."""
    made = trainer(model=linear(), optimizer=lambda p: torch.optim.SGD(p, lr=0.0), epochs=1)
    (row,) = made.fit(loader(preset="none"), VAL)
    whole = predict(made.model, loader(train=False), preprocessing=SMALL, runtime=CPU, title="")
    assert row["train_loss"] == pytest.approx(evaluate_predictions(whole.labels, whole.probabilities).loss, rel=1e-5)


# Validation


def test_the_average_of_the_weights_is_what_is_evaluated_and_kept() -> None:
    made = trainer(ema=True, epochs=1)
    assert made.ema is not None
    assert made.evaluated_model is made.ema.module
    (row,) = made.fit(loader(), VAL)
    losses = {}
    for name, model in {"average": made.ema.module, "weights": made.model}.items():
        predictions = predict(model, VAL, preprocessing=SMALL, runtime=CPU, title="")
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


def test_the_best_epoch_is_saved_as_such_and_patience_ends_the_run() -> None:
    keeper = Keeper()
    made = trainer(keeper=keeper, epochs=10, patience=2, monitor="macro_f1")
    values = iter([0.2, 0.5, 0.5, 0.4, 0.9])
    made._validate = lambda val: {"epoch": float(made.progress.epoch), "eval_macro_f1": next(values), "lr": 0.1}
    history = made.fit(loader(), VAL)
    assert [row["eval_macro_f1"] for row in history] == [0.2, 0.5, 0.5, 0.4]
    assert [is_best for _, is_best in keeper.saved] == [True, True, False, False]
    assert made.finished
    assert made.best.epoch == 1


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
