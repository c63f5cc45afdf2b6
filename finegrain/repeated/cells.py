"""The cells of a repeated evaluation: what each model said of the images it was not trained on, one file a cell."""

import hashlib
import json
import logging
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open

from finegrain.metrics.repeated import Judged
from finegrain.storage import atomic_write

CONTENTS = "test contents"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, order=True, kw_only=True, slots=True)
class Cell:
    """One model of the evaluation."""

    seed: int
    fold: int
    """From 0; always 0 where every seed is judged on the dataset's own test split."""
    per_class: int | None = None
    """How many images of each class it learns from; None: all there are."""

    def __str__(self) -> str:
        name = f"seed-{self.seed}-fold-{self.fold}"
        return name if self.per_class is None else f"images-{self.per_class}-{name}"

    @classmethod
    def named(cls, name: str) -> Self | None:
        """The cell that is written `name`; None where none is."""
        match = re.fullmatch(r"(?:images-(\d+)-)?seed-(-?\d+)-fold-(\d+)", name)
        if match is None:
            return None
        per_class, seed, fold = match.groups()
        return cls(seed=int(seed), fold=int(fold), per_class=int(per_class) if per_class else None)


@dataclass(frozen=True, kw_only=True, slots=True)
class CellResult:
    """What came of it."""

    judged: Judged
    seconds: float
    """From the first step to the last prediction, over all processes that worked on it."""
    hashes: Mapping[str, str]
    """SHA-256 of the ids and labels of its splits; under `CONTENTS`, of what the images it was judged on show."""
    history: Sequence[Mapping[str, float]] = ()
    """One row an epoch; empty where no epochs were trained."""
    peak_memory_bytes: int | None = None
    """The most that the process had in use until the cell was finished; None where that is not known."""


class CellFiles:
    """Finished cells in a folder, each a file whose name ends in the SHA-256 of its bytes.

    A file appears whole or not at all; one that contradicts its name is as good as none: its cell runs again.
    """

    def __init__(self, folder: Path, *, evaluation: str) -> None:
        """Keep cells of one `evaluation`, a digest of all that its numbers depend on."""
        self._folder = folder
        self._evaluation = evaluation

    def save(self, cell: Cell, result: CellResult) -> None:
        """Write a finished cell.

        Raises:
            OutputError: The folder cannot be written, or the disk is full.
        """
        judged = result.judged
        tensors = {"labels": torch.from_numpy(judged.labels), "probabilities": torch.from_numpy(judged.probabilities)}
        facts = {
            "evaluation": self._evaluation,
            "paths": judged.paths,
            "trained_images": judged.trained_images,
            "seconds": result.seconds,
            "hashes": dict(result.hashes),
            "history": list(map(dict, result.history)),
            "peak_memory_bytes": result.peak_memory_bytes,
        }
        content = safetensors.torch.save(tensors, metadata={"facts": json.dumps(facts)})
        self._folder.mkdir(parents=True, exist_ok=True)
        atomic_write(self._folder / f"{cell}-{hashlib.sha256(content).hexdigest()}.safetensors", content)

    def load(self, cell: Cell) -> CellResult | None:
        """A finished cell; None where there is none, or none of this evaluation that is sound."""
        damaged = []
        for file in sorted(self._folder.glob(f"{cell}-*.safetensors")):
            with suppress(OSError, SafetensorError, ValueError, KeyError):
                content = file.read_bytes()
                if file.stem.rpartition("-")[2] == hashlib.sha256(content).hexdigest():
                    with safe_open(file, framework="pt") as opened:
                        facts = json.loads(opened.metadata()["facts"])
                    if facts["evaluation"] == self._evaluation:
                        return _result(cell, safetensors.torch.load(content), facts)
                else:
                    damaged.append(file.name)
        if damaged:
            logger.warning("%s counts as missing: damaged is %s", cell, ", ".join(damaged))
        return None

    def load_all(self) -> dict[Cell, CellResult]:
        """Every finished cell of this evaluation that is sound."""
        names = {file.stem.rpartition("-")[0] for file in self._folder.glob("*.safetensors")}
        cells = [cell for cell in map(Cell.named, sorted(names)) if cell is not None]
        return {cell: result for cell in cells if (result := self.load(cell)) is not None}


def _result(cell: Cell, tensors: Mapping[str, torch.Tensor], facts: Mapping[str, Any]) -> CellResult:
    judged = Judged(
        seed=cell.seed,
        fold=cell.fold,
        trained_images=facts["trained_images"],
        paths=tuple(facts["paths"]),
        labels=tensors["labels"].numpy(),
        probabilities=tensors["probabilities"].numpy(),
    )
    return CellResult(
        judged=judged,
        seconds=facts["seconds"],
        hashes=facts["hashes"],
        history=facts["history"],
        peak_memory_bytes=facts.get("peak_memory_bytes"),  # earlier cells do not know it
    )
