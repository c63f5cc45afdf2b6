"""A CSV or TSV list of images and their class names."""

import csv
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from finegrain.config import NonNegative
from finegrain.data.base import Box, DataConfig, Split, Table, require_root
from finegrain.data.image import FileSource
from finegrain.data.listing import Listing
from finegrain.errors import DataError, fault

_BOX = ("left", "top", "right", "bottom")
_SPLITS: dict[str, Split] = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
# Class ids come as whole numbers; -1, 3.0 and nan are signs of a list gone wrong.
_NO_NAME = re.compile(r"nan|[-+][0-9.]+|[0-9]*\.[0-9]+([eE][-+]?[0-9]+)?|[0-9]+\.", re.IGNORECASE)


@dataclass(kw_only=True, slots=True)
class CsvList(DataConfig):
    """Images listed in one table with a header, comma-separated, or tab-separated where its name ends in .tsv.

    The root is the folder that holds the list; UTF-8; other columns are ignored:

        labels.csv
            path      below the root, with forward slashes
            label     class name
            split     optional: train, val or test in every row
            group     optional: images of one group never straddle two splits
            left, top, right, bottom    optional: the object's box in pixels
    """

    file: str = "labels.csv"
    """The list, below the root."""
    box_margin: NonNegative | None = None
    """Crop to the box with this margin, as a fraction of the box's sides; none: the whole image."""

    def table(self) -> Table:
        """Read the list.

        Raises:
            DataError: The root or the list is missing, or rows are wrong: each with its row, the header being row 1.
        """
        root = require_root(self, marker=self.file)
        rows = Listing(root, self.file)
        entries = list(_read(root / self.file, rows, boxes=self.box_margin is not None))
        labels = {where: _label(rows, where, entry["label"]) for where, entry in entries}
        rows.name_classes(sorted({label for label in labels.values() if label is not None}))
        index = {name: number for number, name in enumerate(rows.class_names)}
        for where, entry in entries:
            label = labels[where]
            rows.add(
                where,
                entry["path"].strip(),
                None if label is None else index[label],
                _split(rows, where, entry),
                group=entry.get("group", "").strip() or None,
                box=_box(rows, where, entry),
            )
        source = FileSource(root, self.max_pixels, self.box_margin)
        return Table(samples=rows.finish(), class_names=rows.class_names, source=source)


def _read(path: Path, rows: Listing, *, boxes: bool) -> Iterator[tuple[str, dict[str, str]]]:
    """Each sound row as (where, cells by column); the others are refused."""
    delimiter = "\t" if path.suffix.lower() in (".tsv", ".tab") else ","
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            table = list(csv.reader(stream, delimiter=delimiter, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        expected = f"UTF-8 text separated by {'tabs' if delimiter != ',' else 'commas'}"
        what = f"{path} cannot be read"
        raise DataError(fault(what, got=str(error), expected=expected, remedy="save it as that")) from error
    header = [name.strip() for name in table[0]] if table else []
    _check_header(path, header, boxes=boxes)
    for number, cells in enumerate(table[1:], start=2):
        where = f"{path.name} row {number}"
        if not any(cell.strip() for cell in cells):
            rows.refuse(where, "empty row", got=",".join(cells), expected="an image a row", remedy="delete the row")
        elif len(cells) != len(header):
            rows.refuse(where, "wrong number of cells", got=cells, expected=f"{len(header)}", remedy="quote commas")
        else:
            yield where, dict(zip(header, cells, strict=True))


def _check_header(path: Path, header: list[str], *, boxes: bool) -> None:
    missing = [name for name in ("path", "label") if name not in header]
    if boxes or any(name in header for name in _BOX):
        missing += [name for name in _BOX if name not in header]
    if missing or len(set(header)) < len(header):
        what = f"{path}: columns {', '.join(missing)} are missing" if missing else f"{path}: a column comes twice"
        expected = "path, label and optionally split, group, left, top, right, bottom, each once"
        raise DataError(fault(what, got=", ".join(header), expected=expected, remedy="mend the first row"))


def _label(rows: Listing, where: str, text: str) -> str | None:
    label = text.strip()
    if label and not _NO_NAME.fullmatch(label):
        return label
    rows.refuse(where, "not a class", got=text, expected="a class name or a whole number", remedy="name the class")
    return None


def _split(rows: Listing, where: str, entry: dict[str, str]) -> Split | None:
    if "split" not in entry:
        return None
    split = _SPLITS.get(entry["split"].strip().lower())
    if split is None:
        rows.refuse(where, "no such split", got=entry["split"], expected="train, val or test in every row")
    return split


def _box(rows: Listing, where: str, entry: dict[str, str]) -> Box | None:
    words = [entry[name].strip() for name in _BOX if name in entry]
    if not any(words):
        return None
    try:
        left, top, right, bottom = (float(word) for word in words)
        if math.isfinite(left + top + right + bottom) and left < right and top < bottom:
            return left, top, right, bottom
    except ValueError:
        pass
    rows.refuse(where, "not a box", got=", ".join(words), expected="left < right and top < bottom in pixels")
    return None
