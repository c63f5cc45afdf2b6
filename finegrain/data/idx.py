"""MNIST and FashionMNIST in their IDX files, packed by gzip or not."""

import gzip
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from finegrain.data.array import array_table
from finegrain.data.base import DataConfig, Facts, Split, Table, require_root
from finegrain.errors import DataError, fault

_PREFIXES: dict[Split, str] = {"train": "train", "test": "t10k"}
_BELOW = ("", "raw", "MNIST/raw", "FashionMNIST/raw")
_FIRST = "train-images-idx3-ubyte"
_SIDE = 28
_MOST = 1_000_000  # images in one file: a header that claims more is not believed


@dataclass(kw_only=True, slots=True)
class Mnist(DataConfig):
    """MNIST (LeCun et al., 1998): 10 digits, 60,000 train and 10,000 test images, grey, 28×28.

    From Yann LeCun's page of the dataset or a mirror of it. The root holds these files, as they are or as .gz, or
    holds them in `raw/` or `MNIST/raw/`:

        train-images-idx3-ubyte, train-labels-idx1-ubyte
        t10k-images-idx3-ubyte, t10k-labels-idx1-ubyte
    """

    facts: ClassVar[Facts | None] = Facts(num_classes=10, train=60000, val=0, test=10000)
    class_names: ClassVar[tuple[str, ...]] = tuple("0123456789")

    def table(self) -> Table:
        """Read the four files into memory.

        Raises:
            DataError: A file is missing, damaged or no IDX file.
        """
        marker = _FIRST
        try:
            root = require_root(self, marker=marker, below=_BELOW)
        except DataError:
            root = require_root(self, marker=f"{marker}.gz", below=_BELOW)
        return array_table({split: _read_pair(root, prefix) for split, prefix in _PREFIXES.items()}, self.class_names)


@dataclass(kw_only=True, slots=True)
class FashionMnist(Mnist):
    """FashionMNIST (Xiao et al., 2017): 10 kinds of clothing, 60,000 train and 10,000 test images, grey, 28×28.

    From Zalando Research's repository of the dataset. The root holds these files, as they are or as .gz, or holds
    them in `raw/` or `FashionMNIST/raw/`:

        train-images-idx3-ubyte, train-labels-idx1-ubyte
        t10k-images-idx3-ubyte, t10k-labels-idx1-ubyte
    """

    class_names: ClassVar[tuple[str, ...]] = (
        "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
    )  # fmt: skip


def _read_pair(root: Path, prefix: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Images [N, 28, 28] and labels [N] of one split."""
    images = read_idx(root / f"{prefix}-images-idx3-ubyte", shape=(_SIDE, _SIDE))
    labels = read_idx(root / f"{prefix}-labels-idx1-ubyte", shape=())
    if len(images) != len(labels):
        raise _wrong(root, f"{len(images)} {prefix} images, {len(labels)} labels", "as many labels as images")
    unknown = np.flatnonzero(labels > 9)
    if unknown.size:
        raise _wrong(root, f"label {labels[unknown[0]]} of {prefix} image {unknown[0]}", "labels 0 to 9")
    return images, labels


def read_idx(path: Path, *, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """The bytes of the IDX file `path`, or of `path`.gz, as an array [N, *shape].

    Raises:
        DataError: The file is missing, damaged, cut short, or of another kind or shape.
    """
    packed = path.with_name(f"{path.name}.gz")
    file = path if path.is_file() else packed
    ranks = 1 + len(shape)
    try:
        with gzip.open(file) if file is packed else file.open("rb") as stream:
            start = stream.read(4 * (1 + ranks))
            if len(start) < 4 * (1 + ranks):
                raise _wrong(file, f"{len(start)} bytes", "a whole IDX file")
            header = np.frombuffer(start, dtype=">u4")
            magic, count, *sides = (int(number) for number in header)
            if magic != 0x0800 + ranks or tuple(sides) != shape or count > _MOST:
                expected = f"magic {0x0800 + ranks}, at most {_MOST} entries of shape {shape}"
                raise _wrong(file, f"header {header.tolist()}", expected)
            size = count * int(np.prod(shape, dtype=int))
            content = stream.read(size + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise _wrong(file, str(error) or type(error).__name__, "a whole IDX file") from error
    if len(content) != size:
        raise _wrong(file, f"{'more' if len(content) > size else 'fewer'} bytes than {size}", "a whole IDX file")
    return np.frombuffer(content, dtype=np.uint8).reshape(count, *shape)


def _wrong(path: Path, got: str, expected: str) -> DataError:
    return DataError(fault(f"{path} cannot be used", got=got, expected=expected, remedy="get the file anew"))
