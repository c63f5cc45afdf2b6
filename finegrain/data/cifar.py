"""CIFAR-10 from its binary version, or as a tree of class folders."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from finegrain.data.array import array_table
from finegrain.data.base import DataConfig, Facts, Table, require_root
from finegrain.data.folder import read_class_folders
from finegrain.errors import DataError, fault
from finegrain.storage import locate

_FOLDER = "cifar-10-batches-bin"
_TRAIN = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
_RECORD = 1 + 3 * 32 * 32
_CLASSES = 10


@dataclass(kw_only=True, slots=True)
class Cifar10(DataConfig):
    """CIFAR-10 (Krizhevsky, 2009): 10 classes, 50,000 train and 10,000 test images, RGB, 32×32.

    From Alex Krizhevsky's page of the dataset, the binary version (cifar-10-binary.tar.gz); the Python version is
    not read, since its pickles can run code. The root is this folder or the one above it:

        cifar-10-batches-bin/
            data_batch_1.bin ... data_batch_5.bin, test_batch.bin
            batches.meta.txt

    or a tree of images: train/<class>/*.png and test/<class>/*.png
    """

    facts: ClassVar[Facts | None] = Facts(num_classes=_CLASSES, train=50000, val=0, test=10000)

    def table(self) -> Table:
        """Read the batches into memory, or list the tree.

        Raises:
            DataError: The root is missing, holds the Python version, or a file is damaged.
        """
        root = locate(self.root)
        if (root / "train").is_dir():
            return read_class_folders(root, max_pixels=self.max_pixels)
        for folder in (root, root / "cifar-10-batches-py"):
            if (folder / "data_batch_1").is_file():
                what = "CIFAR-10: this is the Python version, whose pickles can run code"
                expected, remedy = f"the binary version ({_FOLDER})", "get cifar-10-binary.tar.gz"
                raise DataError(fault(what, got=str(folder), expected=expected, remedy=remedy))
        root = require_root(self, marker="batches.meta.txt", below=("", _FOLDER))
        names = tuple((root / "batches.meta.txt").read_text("utf-8", "replace").split())
        if len(names) != _CLASSES:
            raise _wrong(root / "batches.meta.txt", f"{len(names)} names", f"{_CLASSES} class names")
        train = [_read(root / name) for name in _TRAIN]
        images, labels = (np.concatenate(parts) for parts in zip(*train, strict=True))
        return array_table({"train": (images, labels), "test": _read(root / "test_batch.bin")}, names)


def _read(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Images [N, 32, 32, 3] and labels [N] of one batch."""
    try:
        content = np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        raise _wrong(path, str(error), "a batch of the binary version") from error
    if content.size == 0 or content.size % _RECORD:
        raise _wrong(path, f"{content.size} bytes", f"a multiple of {_RECORD}")
    records = content.reshape(-1, _RECORD)
    labels = records[:, 0]
    unknown = np.flatnonzero(labels >= _CLASSES)
    if unknown.size:
        raise _wrong(path, f"label {labels[unknown[0]]} of record {unknown[0]}", f"labels 0 to {_CLASSES - 1}")
    planes = records[:, 1:].reshape(-1, 3, 32, 32)
    return np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), labels


def _wrong(path: Path, got: str, expected: str) -> DataError:
    return DataError(fault(f"{path} cannot be used", got=got, expected=expected, remedy="get the file anew"))
