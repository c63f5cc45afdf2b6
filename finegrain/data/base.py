"""The one table that every dataset becomes, and the section that turns a dataset on disk into clean splits."""

import hashlib
import inspect
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from finegrain.config import Count, Range
from finegrain.errors import DataError, fault
from finegrain.storage import locate

Split = Literal["train", "val", "test"]
SYNTHETIC_FRACTION = 0.3
"""Share of generated images in train, where nothing else is asked for."""
Box = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """One row of the table."""

    path: str
    """Identity of the image: relative to the root with forward slashes, unique in its table."""
    label: int
    """Index into the table's class names."""
    split: Split | None = None
    """The split the dataset assigns; None where it ships none."""
    group: str | None = None
    """Images of one group (specimen, photographer) never straddle two splits."""
    box: Box | None = None
    """The object's box, where the dataset has one."""


class Source(Protocol):
    """Reads the pixels of a sample."""

    def read(self, sample: Sample) -> NDArray[np.uint8]:
        """The image, uint8 RGB [H, W, 3].

        Raises:
            DataError: It cannot be read as the image it claims to be.
        """
        ...


@runtime_checkable
class KeyedSource(Source, Protocol):
    """A source that knows what its pixels depend on without decoding them."""

    def content_key(self, sample: Sample) -> bytes:
        """32 bytes that change whenever the pixels of `sample` do."""
        ...


def content_key(sample: Sample, source: Source) -> bytes:
    """32 bytes of its file's bytes and crop, or of its pixels where the source reads no files.

    Raises:
        DataError: The image cannot be read.
    """
    if isinstance(source, KeyedSource):
        return source.content_key(sample)
    pixels = np.ascontiguousarray(source.read(sample))
    return hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).digest()


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """A whole dataset: its rows, its classes, and the reader of its pixels."""

    samples: tuple[Sample, ...]
    class_names: tuple[str, ...]
    source: Source
    notes: tuple[str, ...] = ()
    """What the user should know, one sentence each; shown in the report."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """A public dataset's official sizes, so that a dry run needs no data."""

    num_classes: int
    train: int
    val: int
    test: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Dropped:
    """An image left out, and why."""

    path: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Data:
    """Disjoint splits, ready to be loaded."""

    train: tuple[Sample, ...]
    val: tuple[Sample, ...]
    test: tuple[Sample, ...]
    class_names: tuple[str, ...]
    source: Source
    dropped: tuple[Dropped, ...] = ()
    notes: tuple[str, ...] = ()
    carved: tuple[str, ...] = ()
    """Notes on splits that the dataset does not ship: not true where train, val and test are divided anew."""
    digests: Mapping[str, bytes] = field(default_factory=dict)
    """SHA-256 of what each image shows, by path: of its whole file, whatever crop of it is read; see `splits.build`."""
    image_ids: Mapping[str, str] = field(default_factory=dict)
    """The same by path, the first 16 hexadecimal digits, but of what is drawn: that is one image, at whatever size."""
    synthetic: str = ""
    """Which generated images are in train; none: empty."""

    def class_counts(self) -> list[int]:
        """Train images of each class, [K], generated ones too."""
        counts = np.bincount([s.label for s in self.train], minlength=len(self.class_names))
        return [int(count) for count in counts]

    def train_images(self) -> list[str]:
        """`image_ids` of train, sorted: what a model that learns from it must not be judged on."""
        return sorted({self.image_ids[sample.path] for sample in self.train})

    def hashes(self) -> dict[str, str]:
        """SHA-256 of each split's ids and labels, whatever their order, and of the class list."""
        splits = {"train": self.train, "val": self.val, "test": self.test}
        rows = {name: sorted(f"{s.path}\t{s.label}" for s in samples) for name, samples in splits.items()}
        rows["classes"] = list(self.class_names)
        return {name: _digest(lines) for name, lines in rows.items()}

    def content_hashes(self) -> dict[str, str]:
        """SHA-256 of what each split's images show, with their ids, whatever their order."""
        splits = {"train": self.train, "val": self.val, "test": self.test}
        return {
            name: _digest(sorted(f"{s.path}\t{self.digests.get(s.path, b'').hex()}" for s in samples))
            for name, samples in splits.items()
        }

    def identity(self) -> dict[str, str]:
        """What two runs of the same data have in common: the digests of their splits, and of what the images show."""
        return (
            {f"{name} split": digest for name, digest in self.hashes().items()}
            | {f"{name} contents": digest for name, digest in self.content_hashes().items()}
            | ({"synthetic": self.synthetic} if self.synthetic else {})
        )


@dataclass(kw_only=True, slots=True)
class DataConfig:
    """What every dataset layout has in common; a layout is a subclass in its own file."""

    root: str
    """The dataset's folder: absolute, or relative to the working directory, FINEGRAIN_DATA or the project."""
    val_fraction: Annotated[float, Range(above=0, below=1)] = 0.1
    """Share of train carved out, stratified by class and respecting groups, where the dataset has no val split."""
    test_fraction: Annotated[float, Range(above=0, below=1)] = 0.2
    """Share carved out as test where the dataset has none."""
    split_seed: int = 0
    """Seed of what is carved, and of which generated images are taken."""
    on_bad: Literal["error", "drop"] = "error"
    """An unreadable image, or a copy of one in another split, stops the run, or is left out, counted and listed."""
    max_pixels: Count = 50_000_000
    """An image with more pixels is refused unread."""
    pixel_cache: str | None = None
    """Folder for decoded pixels (uint8 memory map), so that later epochs decode nothing; none: decode each time."""
    synthetic: str | None = None
    """Folder that `main_gan.py --gen` wrote, gen/<version>: its images are mixed into train, never into val or test."""
    synthetic_fraction: Annotated[float, Range(above=0, below=1)] | None = SYNTHETIC_FRACTION
    """Share of each class of the mixed train split that is generated; none: all images there are."""

    facts: ClassVar[Facts | None] = None

    def sizes(self) -> Facts | None:
        """What is known of the dataset before anything is read: its official sizes, or None."""
        return self.facts

    def table(self) -> Table:
        """Read the dataset's lists (not its pixels).

        Raises:
            DataError: The root or a list is missing or wrong; says how it must lie and where to get it.
        """
        raise NotImplementedError


def require_root(config: DataConfig, *, marker: str, below: Sequence[str] = ("",)) -> Path:
    """The folder that holds `marker`: the config's root itself, or one of the folders `below` it.

    Raises:
        DataError: There is none. Shows the layout's docstring, which says where to get it and how it must lie.
    """
    root = locate(config.root)
    for folder in (root / name for name in below):
        if os.path.exists(folder / marker):
            return folder
    layout = type(config).__name__
    what = f"{layout}: the root holds no {marker}" if os.path.exists(root) else f"{layout}: no such root"
    how = "\n" + inspect.cleandoc(type(config).__doc__ or "") + "\n"
    raise DataError(
        fault(
            what,
            got=str(root),
            expected=how,
            remedy="set data.root to that folder, or FINEGRAIN_DATA to the one above it",
        )
    )


def _digest(lines: Sequence[str]) -> str:
    text = "\n".join(lines).encode("utf-8", "surrogateescape")
    return hashlib.sha256(text).hexdigest()
