"""Gathers the rows of a dataset's list files into samples, and every fault in them with its file and row."""

import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import TypeVar

import numpy as np

from finegrain.data.base import Box, Sample, Split
from finegrain.data.names import class_name_faults, is_utf8, outside
from finegrain.errors import DataError, fault, fault_list

T = TypeVar("T")


class Listing:
    """The list files below one root; faults in rows are kept until `finish`, so that all are shown at once."""

    def __init__(self, root: Path, title: str) -> None:
        self.root = root
        self.class_names: tuple[str, ...] = ()
        self._title = title
        self._faults: list[str] = []
        self._samples: dict[str, Sample] = {}
        self._places: dict[str, str] = {}

    def refuse(self, where: str, what: str, *, got: object, expected: str, remedy: str = "mend this row") -> None:
        """Note a fault at `where`, e.g. `images.txt row 3`."""
        self._faults.append(fault(f"{where}: {what}", got=got, expected=expected, remedy=remedy))

    def name_classes(self, names: Sequence[str]) -> None:
        """Set the class names, in the order of the dataset's own class ids, and refuse what is wrong with them."""
        self.class_names = tuple(names)
        self._faults.extend(class_name_faults(names))

    def name_class_ids(self, entries: Iterable[tuple[str, object, str]]) -> None:
        """Set the class names from (where, 1-based class id, name) rows; one id with two names is refused."""
        names: dict[int, str] = {}
        for where, class_id, name in entries:
            number = _whole(class_id)
            if number is not None and names.setdefault(number, name) != name:
                self.refuse(where, f"two names of class id {number}", got=name, expected=names[number])
        self.name_classes([name for _, name in sorted(names.items())])

    def lines(self, name: str) -> Iterator[tuple[str, str]]:
        """Each row of a text list as (where, text); empty rows and names that are not UTF-8 are refused.

        Raises:
            DataError: There is no such file.
        """
        text = _read_text(self.root / name)
        for number, line in enumerate(text.rstrip("\r\n").split("\n"), start=1):
            where = f"{name} row {number}"
            if not line.strip():
                self.refuse(where, "empty row", got=line, expected="one entry a row", remedy="delete the row")
            elif not is_utf8(line):
                self.refuse(where, "not UTF-8", got=line, expected="UTF-8 text", remedy="save the list as UTF-8")
            else:
                yield where, line.strip()

    def by_id(
        self, name: str, parse: Callable[[str, str], T | None], *, ids: Collection[int] | None = None
    ) -> dict[int, T]:
        """A list of `id value` rows with 1-based ids as a mapping; `parse(value, where)` refuses and gives None.

        Where `ids` are known, every one of them must have its row and no other may.
        """
        found: dict[int, T] = {}
        known = None if ids is None else set(ids)
        seen: set[int] = set()
        for where, line in self.lines(name):
            head, _, value = line.partition(" ")
            number = _whole(head)
            if not number or not value.strip():
                self.refuse(where, "not a numbered row", got=line, expected="`id value` with an id of at least 1")
            elif number in seen:
                self.refuse(where, "duplicate id", got=number, expected="each id once")
            elif known is not None and number not in known:
                self.refuse(where, "unknown id", got=number, expected="an id of the list of images")
            elif (parsed := parse(value.strip(), where)) is not None:
                found[number] = parsed
            if number:
                seen.add(number)
        missing = sorted((known or set()) - seen)
        for number in missing:
            self.refuse(name, "missing id", got=number, expected="a row for every image", remedy="add the row")
        return found

    def class_id(self, value: object, where: str) -> int | None:
        """The index of a 1-based class id, or None after refusing it."""
        number = _whole(value)
        if number is not None and 1 <= number <= len(self.class_names):
            return number - 1
        expected = f"a whole number from 1 to {len(self.class_names)}"
        self.refuse(where, "no such class id", got=str(value), expected=expected)
        return None

    def class_name(self, name: str, where: str) -> int | None:
        """The index of a class name, or None after refusing it."""
        if name in self.class_names:
            return self.class_names.index(name)
        self.refuse(where, "no such class", got=name, expected="a name of the list of classes")
        return None

    def add(
        self,
        where: str,
        path: str,
        label: int | None,
        split: Split | None,
        *,
        group: str | None = None,
        box: Box | None = None,
    ) -> None:
        """Add a row; a path outside the root or a second row for one image is refused, and a None label left out."""
        if reason := outside(path):
            self.refuse(where, reason, got=path, expected="a path inside the root, with forward slashes")
            return
        path = str(PurePosixPath(path))
        earlier = self._samples.get(path)
        if earlier is not None:
            same = (earlier.label, earlier.split) == (label, split)
            what = "duplicate path" if same else "conflicting rows for one path"
            self.refuse(where, what, got=path, expected=f"one row an image (see {self._places[path]})")
        elif label is not None:
            self._samples[path] = Sample(path=path, label=label, split=split, group=group, box=box)
            self._places[path] = where

    def finish(self) -> tuple[Sample, ...]:
        """The samples, in the order they were added.

        Raises:
            DataError: Any fault so far, a listed file that is missing on disk, or no row at all.
        """
        for path, where in self._places.items():
            if not os.path.lexists(self.root / path):
                self.refuse(where, "no such file", got=path, expected="every listed image", remedy="unpack it anew")
        if not self._samples and not self._faults:
            self.refuse(self._title, "no rows", got="an empty list", expected="at least one image", remedy="mend it")
        if self._faults:
            raise DataError(fault_list(f"{self._title} in {self.root}: the lists cannot be used", self._faults))
        return tuple(self._samples.values())

    def unlisted(self, folder: str) -> tuple[str, ...]:
        """A note on the .jpg files below `folder` that no row names, if there are any."""
        files = (file for _, _, files in os.walk(self.root / folder) for file in files)
        extra = sum(file.lower().endswith(".jpg") for file in files) - len(self._samples)
        return (f"{extra} images below {folder}/ are in no list and are not used.",) if extra > 0 else ()


def _whole(value: object) -> int | None:
    """`value` as a whole number, if it is one; MATLAB stores whole numbers as doubles, but the text 1.0 is none."""
    if isinstance(value, np.floating) and float(value).is_integer():
        value = int(value)
    text = str(value)
    return int(text) if re.fullmatch(r"[0-9]{1,9}", text) else None


def _read_text(path: Path) -> str:
    if not path.is_file():
        what, expected = "missing list", "the dataset's own file"
        raise DataError(fault(what, got=str(path), expected=expected, remedy="unpack the dataset anew"))
    return path.read_bytes().decode("utf-8-sig", "surrogateescape")
