"""The curves and pictures of a run, live, in TensorBoard's format."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray
from torch.utils.tensorboard import SummaryWriter

from finegrain.errors import OutputError, fault


class TensorBoardLog:
    """Writes each epoch's row as scalars, and pictures; use it in a `with`."""

    def __init__(self, folder: Path, *, over: str = "epoch") -> None:
        """Name the folder of the event files, to which a resumed run adds one, and what of a row counts them."""
        self._folder = folder
        self._over = over

    def __enter__(self) -> Self:
        """Open the event file.

        Raises:
            OutputError: It cannot be written.
        """
        with self._told():
            self._writer = SummaryWriter(str(self._folder))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Bring everything to the disk; a disk that refuses has said so before."""
        with suppress(OSError):
            self._writer.close()

    def __call__(self, row: Mapping[str, float]) -> None:
        """Add one row of the history: `train_loss`, `eval_top1` and so on over epochs, or what else counts the rows.

        Raises:
            OutputError: The disk is full or refuses.
        """
        with self._told():
            for name in row.keys() - {self._over}:
                self._writer.add_scalar(name.replace("_", "/", 1), row[name], int(row[self._over]))
            self._writer.flush()

    def picture(self, name: str, pixels: NDArray[np.uint8], number: int) -> None:
        """Add `pixels` uint8 [H, W, 3], of the row counted `number` that follows and brings them to the disk.

        Raises:
            OutputError: The disk is full or refuses.
        """
        with self._told():
            self._writer.add_image(name, pixels, number, dataformats="HWC")

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            remedy = "free some space, mend the rights, or choose another --out; --resume goes on"
            raise OutputError(
                fault(
                    f"{self._folder} cannot be written",
                    got=error.strerror or str(error),
                    expected="a writable folder with room",
                    remedy=remedy,
                )
            ) from error
