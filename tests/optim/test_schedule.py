import json
import warnings
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler

from finegrain import config
from finegrain.errors import ConfigError
from finegrain.optim.constant import Constant
from finegrain.optim.cosine import Cosine
from finegrain.optim.cosine_restarts import CosineRestarts
from finegrain.optim.multi_step import MultiStep
from finegrain.optim.plateau import Plateau
from finegrain.optim.schedule import Schedule, ScheduleConfig

STEPS, EPOCHS = 5, 8
FAMILY = [
    Constant(warmup_epochs=1),
    Cosine(warmup_epochs=1.5, min_lr_fraction=0.1),
    CosineRestarts(warmup_epochs=1, period_epochs=2, period_growth=2.0),
    MultiStep(warmup_epochs=1, milestones=(3, 5)),
    Plateau(warmup_epochs=1, patience_epochs=2),
]


def optimizer() -> torch.optim.Optimizer:
    backbone, head = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))
    return torch.optim.SGD([{"params": [backbone], "lr": 1.0}, {"params": [head], "lr": 10.0}], lr=1.0)


def started(section: ScheduleConfig) -> tuple[Schedule, torch.optim.Optimizer]:
    made = optimizer()
    return section.build(made, steps_per_epoch=STEPS, epochs=EPOCHS), made


def rates(section: ScheduleConfig, steps: int = STEPS * EPOCHS) -> list[float]:
    """The first group's rate at steps 0 .. `steps`; the other keeps its ratio to it."""
    schedule, made = started(section)
    found = []
    for _ in range(steps + 1):
        assert made.param_groups[1]["lr"] == pytest.approx(10 * made.param_groups[0]["lr"])
        found.append(made.param_groups[0]["lr"])
        schedule.step()
    return found


def torch_rates(kind: type[lr_scheduler.LRScheduler], steps: int, **arguments: Any) -> list[float]:
    made = optimizer()
    scheduler = kind(made, **arguments)
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Torch misses the optimiser's steps, which do not matter here.
        for _ in range(steps + 1):
            found.append(made.param_groups[0]["lr"])
            scheduler.step()
    return found


def run(schedule: Schedule, made: torch.optim.Optimizer, first: int, last: int) -> list[float]:
    """Rates of the steps from `first` up to `last`, with validation getting worse from the third epoch."""
    found = []
    for step in range(first, last):
        found.append(made.param_groups[0]["lr"])
        schedule.step()
        if (step + 1) % STEPS == 0:
            schedule.epoch_end(improved=step < 3 * STEPS)
    return found


@pytest.mark.parametrize("section", FAMILY, ids=lambda section: type(section).__name__)
class TestEverySchedule:
    def test_warm_up_is_a_line_to_the_full_rate(self, section: ScheduleConfig) -> None:
        found, warmup = rates(section), round(section.warmup_epochs * STEPS)
        assert found[: warmup + 1] == pytest.approx([(s + 1) / (warmup + 1) for s in range(warmup + 1)])
        assert max(found) == found[warmup] == 1.0

    @pytest.mark.parametrize("stop", [0, 3, 17, 39])
    def test_resumes_on_the_bit(self, section: ScheduleConfig, stop: int) -> None:
        whole = run(*started(section), 0, STEPS * EPOCHS)
        first = started(section)
        run(*first, 0, stop)
        saved = json.loads(json.dumps(first[0].state_dict(), allow_nan=False))
        second = started(section)
        second[0].load_state_dict(saved)
        assert run(*second, stop, STEPS * EPOCHS) == whole[stop:]

    def test_built_around_a_restored_optimiser(self, section: ScheduleConfig) -> None:
        schedule, made = started(section)
        run(schedule, made, 0, 17)
        restored = optimizer()
        restored.load_state_dict(made.state_dict())
        again = section.build(restored, steps_per_epoch=STEPS, epochs=EPOCHS)
        again.load_state_dict(schedule.state_dict())
        assert [g["lr"] for g in restored.param_groups] == [g["lr"] for g in made.param_groups]

    def test_too_long_a_warm_up_is_refused(self, section: ScheduleConfig) -> None:
        with pytest.raises(ConfigError, match=r"warm-up is too long: got .*; expected ≤ 0 epochs"):
            section.build(optimizer(), steps_per_epoch=STEPS, epochs=0)

    def test_a_warm_up_may_fill_the_run(self, section: ScheduleConfig) -> None:
        made = optimizer()
        section = type(section)(warmup_epochs=1)
        schedule = section.build(made, steps_per_epoch=2, epochs=1)
        schedule.step()
        assert made.param_groups[0]["lr"] == pytest.approx(2 / 3)
        schedule.step()
        assert made.param_groups[0]["lr"] == pytest.approx(1.0)

    def test_passes_the_check(self, section: ScheduleConfig) -> None:
        config.check(section)


def test_torchs_warm_up() -> None:
    expected = torch_rates(lr_scheduler.LinearLR, 20, start_factor=1 / 6, total_iters=5)
    assert rates(Constant(warmup_epochs=1), 20) == pytest.approx(expected)


def test_torchs_cosine() -> None:
    expected = torch_rates(lr_scheduler.CosineAnnealingLR, 40, T_max=40, eta_min=0.05)
    found = rates(Cosine(min_lr_fraction=0.05))
    assert found == pytest.approx(expected)
    assert found[0] == 1.0
    assert found[20] == pytest.approx(0.525)
    assert found[40] == pytest.approx(0.05)


def test_cosine_stays_at_its_end() -> None:
    assert rates(Cosine(min_lr_fraction=0.05), 50)[40:] == pytest.approx([0.05] * 11)


@pytest.mark.parametrize("growth", [1, 2])
def test_torchs_restarts(growth: int) -> None:
    expected = torch_rates(lr_scheduler.CosineAnnealingWarmRestarts, 40, T_0=10, T_mult=growth)
    assert rates(CosineRestarts(period_epochs=2, period_growth=growth)) == pytest.approx(expected, abs=1e-7)


def test_restarts_count_from_the_warm_ups_end() -> None:
    section = CosineRestarts(warmup_epochs=0.1, period_epochs=1)
    made = optimizer()
    schedule = section.build(made, steps_per_epoch=10, epochs=30)
    full = []
    for step in range(200):
        if made.param_groups[0]["lr"] > 0.999999:
            full.append(step)
        schedule.step()
    assert full == list(range(1, 200, 10))


def test_torchs_multi_step() -> None:
    expected = torch_rates(lr_scheduler.MultiStepLR, 40, milestones=[15, 25], gamma=0.3)
    assert rates(MultiStep(milestones=(3, 5), drop=0.3)) == pytest.approx(expected)


@pytest.mark.parametrize("milestones", [(5, 3), (3, 3)])
def test_milestones_ascend(milestones: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match="milestones out of order"):
        config.check(MultiStep(milestones=milestones))


def test_torchs_plateau() -> None:
    values = [0.5, 0.6, 0.6, 0.5, 0.55, 0.7, 0.7, 0.1, 0.2, 0.3, 0.3, 0.3, 0.3]
    made, theirs = optimizer(), optimizer()
    schedule = Plateau(drop=0.5, patience_epochs=3).build(made, steps_per_epoch=1, epochs=20)
    # Torch drops when more than `patience` epochs are bad, and minds improvements below `threshold`.
    expected = lr_scheduler.ReduceLROnPlateau(theirs, mode="max", factor=0.5, patience=2, threshold=0.0)
    best = -1.0
    for value in values:
        schedule.epoch_end(improved=value > best)
        expected.step(value)
        best = max(best, value)
        assert [g["lr"] for g in made.param_groups] == [g["lr"] for g in theirs.param_groups]
    assert made.param_groups[0]["lr"] == 0.125


def test_plateau_has_a_floor() -> None:
    made = optimizer()
    schedule = Plateau(drop=0.1, patience_epochs=1, min_lr_fraction=0.05).build(made, steps_per_epoch=1, epochs=9)
    for _ in range(4):
        schedule.epoch_end(improved=False)
    assert [g["lr"] for g in made.param_groups] == [0.05, 0.5]
