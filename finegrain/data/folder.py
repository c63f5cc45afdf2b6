"""A tree of class folders, with or without train, val and test above them."""

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from finegrain.data.base import DataConfig, Sample, Split, Table, require_root
from finegrain.data.image import REFUSED, FileSource
from finegrain.data.names import class_name_faults, is_utf8
from finegrain.errors import DataError, fault, fault_list

_IMAGES = frozenset((".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", *REFUSED))
_SPLITS: dict[str, Split] = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test",
    "testing": "test",
}  # fmt: skip
_SYSTEM = frozenset({"thumbs.db", "desktop.ini", "$recycle.bin", "system volume information", "@eadir", "lost+found"})

_Row = tuple[str, Split | None, str]
"""Class name, split, path."""


@dataclass(kw_only=True, slots=True)
class ImageFolder(DataConfig):
    """One folder a class, named as the class, with its images at any depth below it.

    The root holds either the splits or, without splits, the classes (then test and val are carved out):

        train/<class>/*.jpg            <class>/*.jpg
        val/<class>/*.jpg              (also valid/ or validation/; val and test may be absent)
        test/<class>/*.jpg

    Images are .jpg .jpeg .png .webp .bmp .gif .tif .tiff in any case. Classes are numbered in the order of their
    names' code points. Hidden entries, system files and names that start with two underscores are passed over.
    """

    def table(self) -> Table:
        """List the tree.

        Raises:
            DataError: No such root, or its folders do not make a dataset; all faults at once.
        """
        return read_class_folders(require_root(self, marker=""), max_pixels=self.max_pixels)


def read_class_folders(root: Path, *, max_pixels: int) -> Table:
    """The table of a tree of class folders, as `ImageFolder` describes it.

    Raises:
        DataError: The folders do not make a dataset; all faults at once.
    """
    tree = _Tree(root)
    if root.is_dir() and any(entry.name.lower() in _SPLITS and entry.is_dir() for entry in root.iterdir()):
        tree.read_splits()
    else:
        tree.read_classes("", None)
    faults = tree.wrong + _class_faults(tree.rows)
    if faults:
        raise DataError(fault_list(f"{root} is no dataset of class folders", faults))
    class_names = tuple(sorted({name for name, _, _ in tree.rows}))
    index = {name: label for label, name in enumerate(class_names)}
    samples = tuple(Sample(path=path, label=index[name], split=split) for name, split, path in tree.rows)
    return Table(samples=samples, class_names=class_names, source=FileSource(root, max_pixels), notes=tree.notes())


@dataclass(slots=True)
class _Tree:
    """Walks the folders and keeps what it found: rows, what it passed over, and what is wrong."""

    root: Path
    rows: list[_Row] = field(default_factory=list)
    hidden: Counter[str] = field(default_factory=Counter)
    others: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def read_splits(self) -> None:
        """Add the images of each split's folder."""
        for entry in self._entries(""):
            split = _SPLITS.get(entry.name.lower())
            if split is not None and entry.is_dir():
                self.read_classes(entry.name, split)
            else:
                self.others[entry.name] += 1

    def read_classes(self, folder: str, split: Split | None) -> None:
        """Add the images of each class folder in `folder`."""
        before = len(self.rows)
        paths: dict[str, str] = {}
        for entry in self._entries(folder):
            path = f"{folder}/{entry.name}" if folder else entry.name
            if not entry.is_dir():
                self.others[f"{folder or 'root'}/*{_suffix(entry)}"] += 1
                continue
            name = unicodedata.normalize("NFC", entry.name)  # a copy through macOS may have decomposed it
            if paths.setdefault(name, path) != path:
                self._refuse("two folders of one class", [paths[name], path], "one folder a class", "merge them")
            images = self._images(path, seen=set())
            if not images and split in (None, "train"):
                self._refuse("empty class", path, "at least one image", "fill or delete the folder")
            self.rows += [(name, split, image) for image in images]
        if folder and len(self.rows) == before:
            self._refuse("empty split", folder, "class folders with images", "fill or delete it")

    def notes(self) -> tuple[str, ...]:
        """What was passed over."""
        kinds = {"hidden or system entries": self.hidden, "entries that are no images of a class": self.others}
        return tuple(
            f"Passed over {kind}: {', '.join(f'{name} ({n})' for name, n in sorted(found.items()))}."
            for kind, found in kinds.items()
            if found
        )

    def _images(self, folder: str, seen: set[tuple[int, int]]) -> list[str]:
        """Every entry below `folder` named like an image, whatever it is: the decoder refuses what is none."""
        images = []
        for entry in self._entries(folder):
            path = f"{folder}/{entry.name}"
            if _suffix(entry) in _IMAGES:
                images.append(path)
            elif not entry.is_dir():
                self.others[f"*{_suffix(entry)}"] += 1
            elif (place := (entry.stat().st_dev, entry.stat().st_ino)) not in seen:  # a link may lead back up
                seen.add(place)
                images += self._images(path, seen)
        return images

    def _entries(self, folder: str) -> list[os.DirEntry[str]]:
        """What lies in `folder`, in the order of code points, without hidden, system and unusable names."""
        try:
            found = sorted(os.scandir(self.root / folder), key=lambda entry: entry.name)
        except OSError as error:
            self._refuse("unreadable folder", folder or str(self.root), "a folder you may list", str(error))
            return []
        kept = []
        for entry in found:
            if entry.name.startswith((".", "__")) or entry.name.lower() in _SYSTEM:
                self.hidden[entry.name] += 1
            elif not is_utf8(entry.name):
                path = f"{folder}/{entry.name}" if folder else entry.name
                self._refuse("name is not UTF-8", path, "UTF-8 names", "rename it")
            else:
                kept.append(entry)
        return kept

    def _refuse(self, what: str, got: object, expected: str, remedy: str) -> None:
        self.wrong.append(fault(what, got=got, expected=expected, remedy=remedy))


def class_folder(name: str) -> str:
    """A name under which `read_class_folders` finds the folder of the class `name`, directly below its root.

    It is `name` itself, but for what would lead elsewhere, be passed over or be taken for a split: that is written as
    in web addresses, `F-16A%2FB`, and `urllib.parse.unquote` gives `name` again.
    """
    escaped = re.sub(r"%(?=[0-9A-Fa-f]{2})", "%25", name)
    odd = {c for c in name if not c.isprintable() or c in "/\\"}
    safe = "".join(quote(c, safe="", errors="surrogatepass") if c in odd else c for c in escaped)
    if safe.startswith((".", "__")) or safe.lower() in (*_SYSTEM, *_SPLITS):
        return f"%{ord(safe[0]):02X}{safe[1:]}"
    return safe


def _class_faults(rows: Sequence[_Row]) -> list[str]:
    names = {name for name, _, _ in rows}
    trained = {name for name, split, _ in rows if split in (None, "train")}
    expected, remedy = "every class in train", "add its images to train/ or delete it"
    unknown = [fault("class not in train", got=n, expected=expected, remedy=remedy) for n in sorted(names - trained)]
    return class_name_faults(names) + unknown


def _suffix(entry: os.DirEntry[str]) -> str:
    return os.path.splitext(entry.name)[1].lower()
