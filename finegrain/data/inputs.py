"""Which image files a user means by one word: a file, a folder, a pattern, or a list of files."""

import csv
import glob
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from finegrain.data.base import Sample
from finegrain.data.image import has_image_name, image_files, read_image
from finegrain.errors import DataError, fault
from finegrain.storage import locate

_DELIMITERS = {".txt": None, ".csv": ",", ".tsv": "\t"}
"""Of lists, by the ends of their names; a .txt has a path on each line."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AnyFiles:
    """A source of files wherever they lie: the path of a sample is that of its file."""

    max_pixels: int
    """An image with more pixels is refused undecoded."""

    def read(self, sample: Sample) -> NDArray[np.uint8]:
        """The image, uint8 RGB [H, W, 3]; raises DataError where it cannot be read."""
        return read_image(Path(sample.path), max_pixels=self.max_pixels).pixels


def find_images(given: str) -> list[Path]:
    """The image files that `given` names, one or more; those of a list in its order, and perhaps not there.

    Args:
        given: An image, whatever its name; a folder, for what lies in it at any depth under an image's name; a pattern
            (`photos/*.jpg`, `**` for any depth), likewise; or a list: .txt with a path a line, .csv or .tsv with a
            column `path`, each path absolute or relative to the list's folder.

    Raises:
        DataError: It names none, is an address, or is no such list.
    """
    expected = "an image, a folder, a pattern, or a list of images (.txt, .csv, .tsv)"
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", given):
        raise DataError(fault("images is an address", got=given, expected=expected, remedy="download it first"))
    path = locate(given)
    if path.is_file() and path.suffix.lower() in _DELIMITERS:
        found = _listed(path)
    elif glob.has_magic(given) and not path.exists():
        found = sorted(p for p in map(Path, glob.glob(str(path), recursive=True)) if has_image_name(p))
    else:
        return image_files(path)
    if not found:
        raise DataError(fault("no images", got=f"{given}, which names none", expected=expected, remedy="name another"))
    return found


def _listed(file: Path) -> list[Path]:
    """The paths in a list; names that are not UTF-8 stay what they are in the file system."""
    delimiter = _DELIMITERS[file.suffix.lower()]
    try:
        with file.open(encoding="utf-8-sig", errors="surrogateescape", newline="" if delimiter else None) as opened:
            if delimiter is None:
                names = [line.rstrip("\n") for line in opened]
            else:
                rows = csv.DictReader(opened, delimiter=delimiter, strict=True)
                if "path" not in (rows.fieldnames or ()):
                    raise csv.Error("no column path")
                names = [row["path"] or "" for row in rows]
    except (OSError, csv.Error) as error:
        expected = "a path a line" if delimiter is None else "a table with a column path"
        raise DataError(
            fault(f"{file} is no list of images", got=str(error), expected=expected, remedy="mend it")
        ) from error
    return [file.parent / name for name in names if name.strip()]
