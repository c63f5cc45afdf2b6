"""The curves of a run, live, in TensorBoard's format."""

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from torch.utils.tensorboard import SummaryWriter


class TensorBoardLog:
    """Writes each epoch's row as scalars; use it in a `with`."""

    def __init__(self, folder: Path) -> None:
        """Name the folder of the event files; a resumed run adds a file to it."""
        self._folder = folder

    def __enter__(self) -> Self:
        """Open the event file."""
        self._writer = SummaryWriter(str(self._folder))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Bring everything to the disk."""
        self._writer.close()

    def __call__(self, row: Mapping[str, float]) -> None:
        """Add one row of the history: `train_loss`, `eval_top1` and so on over epochs."""
        for name in row.keys() - {"epoch"}:
            self._writer.add_scalar(name.replace("_", "/", 1), row[name], int(row["epoch"]))
        self._writer.flush()
