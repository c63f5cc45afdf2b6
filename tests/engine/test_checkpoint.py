import math
import os
import resource
import signal
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from finegrain.engine.checkpoint import FORMAT, Checkpoints, Course, read_course, read_state, write_state
from finegrain.engine.interrupt import Interrupt, Interrupted
from finegrain.errors import CheckpointError, OutputError
from finegrain.storage import RunDirectory

IDENTITY = {
    "architecture": "timm/resnet18",
    "class_names": ("wren", "robin", "lark"),
    "optimizer": "AdamW",
    "train split": "ab12",
    "optim.lr": 3e-4,
}
OPTIMIZERS: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    "sgd_plain": lambda p: torch.optim.SGD(p, lr=0.1),
    "adam": lambda p: torch.optim.Adam(p, lr=0.1, amsgrad=True),
    "adamw": lambda p: torch.optim.AdamW([{"params": p[:1], "lr": 0.2}, {"params": p[1:]}], lr=0.1),
}


class FakeTrainer:
    """A trainer reduced to what is saved of it."""

    def __init__(self, number: int = 0) -> None:
        self.content: Mapping[str, Any] = {"number": number, "weight": torch.full((3,), float(number))}
        self.place = "epoch 2, step 7"

    @property
    def evaluated_model(self) -> nn.Module:
        return nn.Linear(self.content["number"], 1)

    def state(self) -> Mapping[str, Any]:
        return self.content

    def restore(self, state: Mapping[str, Any]) -> None:
        self.content = state


def write_model(model: nn.Module, folder: Path) -> None:
    (folder / "config.json").write_text(str(model.in_features))


@pytest.fixture
def run(tmp_path: Path) -> Iterator[RunDirectory]:
    with RunDirectory(tmp_path / "run", resume=False) as directory:
        yield directory


@pytest.fixture
def interrupt() -> Iterator[Interrupt]:
    with Interrupt() as interrupt:
        yield interrupt


@pytest.fixture
def checkpoints(run: RunDirectory, interrupt: Interrupt) -> Checkpoints:
    return Checkpoints(run, identity=IDENTITY, write_model=write_model, interrupt=interrupt)


def resumed(checkpoints: Checkpoints) -> int | None:
    """The number of the state that is taken up; None where there is none."""
    trainer = FakeTrainer(-1)
    if not checkpoints.resume(trainer):
        return None
    assert trainer.content["weight"].eq(trainer.content["number"]).all()
    return trainer.content["number"]


def equal(left: Any, right: Any) -> bool:
    """Equality of nested states to the bit, dtypes and types of keys included; a tuple equals a list."""
    if isinstance(left, Tensor):
        same = left.dtype == right.dtype and left.shape == right.shape
        return same and left.contiguous().flatten().view(torch.uint8).equal(right.flatten().view(torch.uint8))
    if isinstance(left, Mapping):
        return list(left) == list(right) and all(equal(left[key], right[key]) for key in left)
    if isinstance(left, (list, tuple)):
        return len(left) == len(right) and all(map(equal, left, right))
    return type(left) is type(right) and (left == right or (math.isnan(left) and math.isnan(right)))


def round_trip(state: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    write_state(folder, state, identity=IDENTITY)
    return read_state(folder, identity=IDENTITY)


def test_any_state_comes_back_to_the_bit(tmp_path: Path) -> None:
    base = torch.randn(2, 3, 4, 5)
    dtypes = (torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int8, torch.bool, torch.complex64)
    state = {
        "dtypes": [base.to(dtype) for dtype in dtypes],
        "layouts": (base.to(memory_format=torch.channels_last), base.mT, base[:, 1], base[0, 0, 0, 0], base[:0]),
        "aliased": {"first": base, "second": base, "part": base[1], "expanded": base[:1].expand(4, -1, -1, -1)},
        "special": torch.tensor([math.nan, math.inf, -0.0, 5e-324], dtype=torch.float64),
        "numbers": [0.1, 1e-320, -0.0, math.inf, math.nan, 2**70, True, None],
        "scaler": torch.amp.GradScaler("cpu").state_dict(),
        "keys": {0: "int", "0": "text", "tensor": {"items": []}, "": {}, "größe/1": "\ud800"},
    }
    assert equal(state, round_trip(state, tmp_path))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_goes_on_to_the_bit(tmp_path: Path, name: str) -> None:
    def start() -> tuple[nn.Module, torch.optim.Optimizer]:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 2))
        return model, OPTIMIZERS[name](list(model.parameters()))

    def train(model: nn.Module, optimizer: torch.optim.Optimizer, steps: range) -> None:
        for step in steps:
            model(torch.randn(6, 4, generator=torch.Generator().manual_seed(step))).square().mean().backward()
            optimizer.step()
            optimizer.zero_grad()

    whole, first, second = start(), start(), start()
    train(*whole, range(6))
    train(*first, range(3))
    state = round_trip({"model": first[0].state_dict(), "optimizer": first[1].state_dict()}, tmp_path)
    second[0].load_state_dict(state["model"])
    second[1].load_state_dict(state["optimizer"])
    train(*second, range(3, 6))
    for part in (0, 1):
        assert equal(whole[part].state_dict(), second[part].state_dict())


@pytest.mark.parametrize(
    ("key", "value", "shown"),
    [
        ("architecture", "timm/resnet34", "architecture: 'timm/resnet18' was saved, 'timm/resnet34' is asked for"),
        ("class_names", ("wren", "robin"), "class_names: 3 were saved, 2 are asked for"),
        ("class_names", ("wren", "lark", "robin"), "class_names: number 1 was 'robin', 'lark' is asked for"),
        ("class_names", ("wren", "robin", "owl\x1b"), r"class_names: number 2 was 'lark', 'owl\x1b' is asked for"),
        ("optimizer", "SGD", "optimizer: 'AdamW' was saved, 'SGD' is asked for"),
        ("format", 0, "format: 2 was saved, 0 is asked for"),
        ("train split", "cd34", "train split: 'ab12' was saved, 'cd34' is asked for"),
        ("optim.momentum", 0.9, "optim.momentum: None was saved, 0.9 is asked for"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(
    checkpoints: Checkpoints, run: RunDirectory, key: str, value: object, shown: str
) -> None:
    checkpoints.save(FakeTrainer(), kept=False)
    other = Checkpoints(run, identity={**IDENTITY, key: value}, write_model=write_model, interrupt=Interrupt())
    with pytest.raises(CheckpointError) as caught:
        resumed(other)
    title, difference = str(caught.value).splitlines()
    assert "latest-000000 is of another run: got one difference" in title
    assert difference.strip() == shown


def test_many_differences_take_ten_lines(checkpoints: Checkpoints, run: RunDirectory) -> None:
    checkpoints.save(FakeTrainer(), kept=False)
    many = {f"optim.field{number}": number for number in range(30)}
    with pytest.raises(CheckpointError, match="got 35 differences") as caught:
        resumed(Checkpoints(run, identity=many, write_model=write_model, interrupt=Interrupt()))
    rows = str(caught.value).splitlines()[1:]
    assert len(rows) == 10
    assert rows[-1] == "  ... and 26 more"


def test_the_newest_state_and_the_best_model_are_kept(checkpoints: Checkpoints, run: RunDirectory) -> None:
    assert resumed(checkpoints) is None
    for number in range(1, 5):
        checkpoints.save(FakeTrainer(number), kept=number == 3)
    assert resumed(checkpoints) == 4
    best = run.newest("best")
    assert best is not None
    assert (best / "config.json").read_text() == "3"


def test_a_crash_between_best_and_latest_repeats_the_epoch(
    checkpoints: Checkpoints, run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints.save(FakeTrainer(1), kept=True)
    crashing = FakeTrainer(2)
    monkeypatch.setattr(crashing, "state", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        checkpoints.save(crashing, kept=True)
    assert resumed(checkpoints) == 1
    assert {"best-000001", "latest-000000"} <= set(os.listdir(run.path / "checkpoints"))


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_a_full_disk_keeps_the_old_checkpoint(checkpoints: Checkpoints, run: RunDirectory, share: float) -> None:
    """No byte, half of them, and all but the last of the tensors."""
    large = FakeTrainer(2)
    large.content = {"weight": torch.zeros(30_000)}
    checkpoints.save(FakeTrainer(1), kept=False)
    checkpoints.save(large, kept=False)
    size = (run.path / "checkpoints" / "latest-000001" / "state.safetensors").stat().st_size
    (run.path / "checkpoints" / "latest-000001").rename(run.path / "aside")
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (int(share * (size - 1)), -1))
            checkpoints.save(large, kept=False)
        except OutputError as error:
            os.write(writing, str(error).encode())
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    os.close(writing)
    with open(reading) as pipe:
        said = pipe.read()
    assert "latest-000001 cannot be written: got " in said
    assert "File too large" in said
    assert "are free" in said
    assert "\n" not in said
    assert not list(run.path.rglob(".tmp-*"))
    assert resumed(checkpoints) == 1


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_save_once_the_step_is_done(
    checkpoints: Checkpoints, interrupt: Interrupt, number: signal.Signals, code: int
) -> None:
    trainer = FakeTrainer(5)
    checkpoints.stop_if_asked(trainer)
    assert resumed(checkpoints) is None
    signal.raise_signal(number)
    signal.raise_signal(signal.SIGINT)
    assert interrupt.signal == number
    with pytest.raises(Interrupted, match=f"stopped by {number.name} at epoch 2, step 7.*--resume") as caught:
        checkpoints.stop_if_asked(trainer)
    assert caught.value.exit_code == code
    assert resumed(checkpoints) == 5
    with pytest.raises(Interrupted):
        checkpoints.stop_if_asked(FakeTrainer(6), saved=True)
    assert resumed(checkpoints) == 5


def test_signals_do_not_cut_a_save_short(run: RunDirectory, interrupt: Interrupt) -> None:
    def interrupted(model: nn.Module, folder: Path) -> None:
        for _ in range(3):
            os.kill(os.getpid(), signal.SIGINT)
        write_model(model, folder)

    checkpoints = Checkpoints(run, identity=IDENTITY, write_model=interrupted, interrupt=interrupt)
    checkpoints.save(FakeTrainer(6), kept=True)
    assert interrupt.signal == signal.SIGINT
    assert run.newest("best") is not None
    assert resumed(checkpoints) == 6


def test_interrupt_puts_the_earlier_handlers_back() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with Interrupt():
        assert signal.getsignal(signal.SIGINT) != before[0]
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_checkpoint_of_another_format_is_refused(checkpoints: Checkpoints, run: RunDirectory, monkeypatch) -> None:
    checkpoints.save(FakeTrainer(), kept=False)
    monkeypatch.setattr("finegrain.engine.checkpoint.FORMAT", FORMAT + 1)
    with pytest.raises(CheckpointError, match=f"format: {FORMAT} was saved, {FORMAT + 1} is asked for"):
        read_course(run)


def test_the_course_of_a_run(checkpoints: Checkpoints, run: RunDirectory) -> None:
    with pytest.raises(CheckpointError, match="train first"):
        read_course(run)
    trainer, history = FakeTrainer(), [{"epoch": 0.0, "eval_top1": 0.5}, {"epoch": 1.0, "eval_top1": math.nan}]
    progress = {"history": history, "seconds": 2.5, "kept": 0}
    trainer.content = {"model": torch.ones(2), "progress": progress, "finished": False}
    checkpoints.save(trainer, kept=False)
    course = read_course(run)
    assert equal(course.history, history)
    assert (course.kept_epoch, course.seconds, course.identity["format"]) == (0, 2.5, FORMAT)
    assert course.notes() == ["The training is not finished: it was stopped after 2 epochs."]
    trainer.content = {**trainer.content, "finished": True}
    checkpoints.save(trainer, kept=False)
    assert read_course(run).notes() == []


@pytest.mark.parametrize(
    ("looks", "monitor", "said"),
    [
        (2, "top1", "after every epoch, for the curves (evaluation.test_curve=true). Nothing was chosen by it: the "
         "epoch that was kept was chosen on validation. But whoever changes the recipe after"),
        (1, "last", "after 1 of the 2 epochs, for the curves (evaluation.test_curve=true). Nothing was chosen by it: "
         "the epoch that was kept is the last, as fixed beforehand. But"),
    ],
)  # fmt: skip
def test_looks_at_test_for_the_curves_are_told(looks: int, monitor: str, said: str) -> None:
    rows = [{"epoch": float(epoch)} | ({"test_top1": 0.5} if epoch < looks else {}) for epoch in range(2)]
    course = Course(
        folder=Path(), identity={"train.monitor": monitor}, history=rows, seconds=1.0, kept_epoch=1, finished=True
    )
    (note,) = course.notes()
    assert note.startswith(f"Test was judged {said}")
