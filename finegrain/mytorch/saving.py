"""State dicts on disk: npz files of plain arrays, which torch's users read with `numpy.load`."""

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from finegrain.errors import CheckpointError, fault
from finegrain.mytorch.tensor import Tensor
from finegrain.storage import atomic_write


def save(state: Mapping[str, Any], path: str | Path) -> None:
    """Write the tensors or arrays by their names, whole or not at all."""
    content = io.BytesIO()
    np.savez(content, **{name: np.asarray(value) for name, value in state.items()})  # type: ignore[arg-type]
    atomic_write(Path(path), content.getvalue())


def load(path: str | Path) -> dict[str, Tensor]:
    """The tensors that `save` wrote; nothing in the file is run.

    Raises:
        CheckpointError: The file is missing, damaged, no npz file, or holds Python objects.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: _numbers(name, file[name]) for name in file.files}
    except (OSError, ValueError, EOFError, AttributeError, TypeError, zipfile.BadZipFile) as error:
        expected, remedy = "an npz file of arrays", "save the state dict anew"
        what = f"{path} cannot be loaded"
        raise CheckpointError(fault(what, got=str(error), expected=expected, remedy=remedy)) from error


def _numbers(name: str, value: Any) -> Tensor:
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiub":
        raise ValueError(f"{name} of {type(value).__name__}")
    return Tensor(value)
