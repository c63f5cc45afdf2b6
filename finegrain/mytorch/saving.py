"""State dicts on disk: npz files of plain arrays, which torch's users read with `numpy.load`."""

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from finegrain.errors import CheckpointError, fault
from finegrain.mytorch.array import Array
from finegrain.mytorch.tensor import Tensor
from finegrain.storage import atomic_write


def save(state: Mapping[str, Any], path: str | Path) -> None:
    """Write the tensors or arrays by their names, whole or not at all.

    Raises:
        ValueError: One holds no numbers; as a Python object it would need pickle.
    """
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:  # not np.savez, which has arguments of its own among the names
        for name, value in state.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, _numbers(name, np.asarray(value)), allow_pickle=False)
    atomic_write(Path(path), content.getvalue())


def load(path: str | Path) -> dict[str, Tensor]:
    """The tensors that `save` wrote; nothing in the file is run.

    Raises:
        CheckpointError: The file is missing, damaged, no npz file, or holds Python objects.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: Tensor(_numbers(name, file[name])) for name in file.files}
    except Exception as error:  # NumPy and zipfile let many kinds out of a damaged file
        expected, remedy = "an npz file of arrays", "save the state dict anew"
        what, got = f"{path} cannot be loaded", str(error) or type(error).__name__
        raise CheckpointError(fault(what, got=got, expected=expected, remedy=remedy)) from error


def _numbers(name: str, value: Any) -> Array:
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiub":
        raise ValueError(f"{name} holds no numbers but {getattr(value, 'dtype', type(value).__name__)}")
    return value
