"""What of a run is kept: the state that continues it bit-identically, and the best model ready for use."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

import safetensors.torch
import torch
from torch import Tensor

from finegrain.engine.interrupt import Interrupt, Interrupted
from finegrain.errors import CheckpointError, fault, printable
from finegrain.storage import RunDirectory

FORMAT = 2
"""Raised whenever a checkpoint's content changes its meaning."""
_TENSORS, _STATE = "state.safetensors", "state.json"
_TENSOR, _ITEMS = "tensor", "items"
Content = TypeVar("Content")
_SHOWN = 10
"""Lines of differences in one message."""


class Training(Protocol):
    """A loop whose state can be saved and taken up again."""

    @property
    def evaluated_model(self) -> torch.nn.Module:
        """What is kept of it."""
        ...

    @property
    def place(self) -> str:
        """Where it stands, in words."""
        ...

    def state(self) -> dict[str, Any]:
        """Everything that continues it: nested dicts and lists of tensors and plain values."""
        ...

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take it up where `state` was saved."""
        ...


class Checkpoints:
    """Saves a trainer into its run directory and takes it up again; the trainer's `Keeper`."""

    def __init__(
        self,
        directory: RunDirectory,
        *,
        identity: Mapping[str, Any],
        write_model: Callable[[torch.nn.Module, Path], None],
        interrupt: Interrupt,
    ) -> None:
        """Name where and for whom is saved.

        Args:
            directory: Open.
            identity: Plain values that a run must share with a checkpoint to go on from it.
            write_model: Writes the given model into the given folder, ready for use.
            interrupt: Entered.
        """
        self._directory, self._identity, self._interrupt = directory, {"format": FORMAT, **identity}, interrupt
        self._write_model = write_model

    def save(self, trainer: Training, *, kept: bool) -> None:
        """Save the model first: a crash in between repeats an epoch and keeps the same one again."""
        if kept:
            self._directory.save("best", lambda folder: self._write_model(trainer.evaluated_model, folder))
        self._directory.save("latest", lambda folder: write_state(folder, trainer.state(), identity=self._identity))

    def stop_if_asked(self, trainer: Training, *, saved: bool = False) -> None:
        """Save, unless it was `saved` just now, and leave when a signal came.

        Raises:
            Interrupted: After saving.
        """
        if self._interrupt.signal is not None:
            if not saved:
                self.save(trainer, kept=False)
            raise Interrupted(self._interrupt.signal, where=trainer.place)

    def resume(self, trainer: Training) -> bool:
        """Take `trainer` to where the newest checkpoint stands; False where there is none.

        Raises:
            CheckpointError: It is damaged, or of another run.
        """
        folder = self._directory.newest("latest")
        if folder is not None:
            trainer.restore(read_state(folder, identity=self._identity))
        return folder is not None


def write_state(folder: Path, state: Mapping[str, Any], *, identity: Mapping[str, Any]) -> None:
    """Write nested dicts and lists of tensors and plain values as safetensors and JSON."""
    tensors: dict[str, Tensor] = {}
    plain = _split(state, "", tensors)
    safetensors.torch.save_file(tensors, folder / _TENSORS)
    (folder / _STATE).write_text(json.dumps({"identity": identity, "state": plain}))


def read_state(folder: Path, *, identity: Mapping[str, Any]) -> dict[str, Any]:
    """What `write_state` wrote.

    Raises:
        CheckpointError: It was written for another `identity`; shows where they differ.
    """
    content = json.loads((folder / _STATE).read_text())
    require_same(content["identity"], json.loads(json.dumps(identity)), folder)
    state: dict[str, Any] = _join(content["state"], safetensors.torch.load_file(folder / _TENSORS))
    return state


@dataclass(frozen=True, kw_only=True, slots=True)
class Course:
    """Which run it was, and how its training went."""

    folder: Path
    """The checkpoint that says so."""
    identity: Mapping[str, Any]
    """What the run shares with its checkpoints: its settings by their keys, the digests of its splits."""
    history: list[dict[str, float]]
    """One row an epoch, with timm's column names."""
    seconds: float
    """Time spent training, over all resumptions."""
    kept_epoch: int | None
    """The epoch of the model that is judged, counted from 0."""
    finished: bool
    """Whether nothing was left to train."""

    def notes(self) -> list[str]:
        """What a reader of the numbers must know."""
        epochs = len(self.history)
        notes = [] if self.finished else [f"The training is not finished: it was stopped after {epochs} epochs."]
        if looks := sum("test_top1" in row for row in self.history):
            often = "every epoch" if looks == epochs else f"{looks} of the {epochs} epochs"
            last = self.identity["train.monitor"] == "last"
            kept = "is the last, as fixed beforehand" if last else "was chosen on validation"
            notes.append(
                f"Test was judged after {often}, for the curves (evaluation.test_curve=true). Nothing was chosen by "
                f"it: the epoch that was kept {kept}. But whoever changes the recipe after having seen these curves "
                "chooses by test, which is then optimistic."
            )
        return notes

    def require_same_splits(self, present: Mapping[str, str]) -> None:
        """Refuse data other than the run's: its test images might be among those that were trained on.

        Args:
            present: `Data.identity` of the data at hand.

        Raises:
            CheckpointError: A split differs.
        """
        require_same({key: self.identity.get(key) for key in present}, present, self.folder)


def read_course(directory: RunDirectory) -> Course:
    """How the training went whose checkpoints lie in `directory`.

    Raises:
        CheckpointError: There are none, or the newest is damaged, or of another format.
    """
    folder = directory.newest("latest")
    if folder is None:
        raise CheckpointError(
            fault(f"{directory.path} has no checkpoint", got="none", expected="a trained run", remedy="train first")
        )
    content = json.loads((folder / _STATE).read_text())
    require_same({"format": content["identity"].get("format")}, {"format": FORMAT}, folder)
    parts = dict(content["state"][_ITEMS])
    progress = _join(parts["progress"], {})
    return Course(
        folder=folder,
        identity=content["identity"],
        history=progress["history"],
        seconds=progress["seconds"],
        kept_epoch=progress["kept"],
        finished=parts["finished"],
    )


def _split(value: Any, path: str, tensors: dict[str, Tensor]) -> Any:
    """`value` as JSON, its tensors moved to `tensors` under their path; a dict keeps the types of its keys."""
    if isinstance(value, Tensor):
        # A copy in plain layout: safetensors refuses memory that is shared or strided.
        tensors[path] = value.detach().to("cpu", copy=True).contiguous()
        return {_TENSOR: path}
    if isinstance(value, Mapping):
        return {_ITEMS: [[key, _split(item, f"{path}/{key}", tensors)] for key, item in value.items()]}
    if isinstance(value, (list, tuple)):
        return [_split(item, f"{path}/{number}", tensors) for number, item in enumerate(value)]
    return value


def _join(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    if isinstance(value, dict):
        if _TENSOR in value:
            return tensors[value[_TENSOR]]
        return {key: _join(item, tensors) for key, item in value[_ITEMS]}
    if isinstance(value, list):
        return [_join(item, tensors) for item in value]
    return value


def read_json(path: Path, kind: type[Content]) -> Content:
    """What the JSON file at `path` holds, a `kind`.

    Raises:
        CheckpointError: It cannot be read, or holds something else.
    """
    try:
        content = json.loads(path.read_bytes())
        got = "" if isinstance(content, kind) else f"a {type(content).__name__}"
    except (OSError, ValueError, RecursionError) as error:
        got = str(error)
    if got:
        expected, remedy = "JSON as it was written", "restore it, or choose another --out"
        raise CheckpointError(fault(f"{path} is damaged", got=got, expected=expected, remedy=remedy))
    return cast(Content, content)


def require_same(saved: Mapping[str, Any], present: Mapping[str, Any], path: Path) -> None:
    """Refuse to go on from what another run left at `path`; both are plain JSON.

    Raises:
        CheckpointError: They differ; shows where.
    """
    keys = [key for key in {**saved, **present} if saved.get(key) != present.get(key)]
    if not keys:
        return
    title = fault(
        f"{path} is of another run",
        got=f"{len(keys)} differences" if len(keys) > 1 else "one difference",
        expected="the recipe, classes, data and format it was saved with",
        remedy="go on with these, or choose another --out",
    )
    rows = [printable(f"  {key}: {_difference(saved.get(key), present.get(key))}") for key in keys]
    if len(rows) > _SHOWN:
        rows[_SHOWN - 1 :] = [f"  ... and {len(rows) - _SHOWN + 1} more"]
    raise CheckpointError("\n".join([title, *rows]))


def _difference(saved: Any, present: Any) -> str:
    if isinstance(saved, list) and isinstance(present, list):
        if len(saved) != len(present):
            return f"{len(saved)} were saved, {len(present)} are asked for"
        place = next(i for i, pair in enumerate(zip(saved, present, strict=True)) if pair[0] != pair[1])
        return f"number {place} was {saved[place]!r}, {present[place]!r} is asked for"
    return f"{saved!r} was saved, {present!r} is asked for"
