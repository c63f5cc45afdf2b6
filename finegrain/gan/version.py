"""A folder of labelled generated images: one folder a class, and a manifest that is never ahead of its files."""

import hashlib
import json
import logging
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finegrain.data.generated import MANIFEST, SETTINGS, TRAIN_IMAGES
from finegrain.engine.checkpoint import read_json, require_same
from finegrain.errors import CheckpointError, OutputError, fault
from finegrain.storage import append_line, atomic_write, exclusive, make_folder

logger = logging.getLogger(__name__)

_LOCK = ".lock"
BY_FILTER = "filter: "
"""How the reason begins where the filter refused an image."""
_KINDS = {"not finite": "not finite", "same as ": "the same as another image", BY_FILTER: "refused by the filter"}
"""How reasons begin, and what is said of all that begin so."""
_SHOWN = 10
"""Names in a line."""
Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """One image that is asked for."""

    label: int
    class_name: str
    path: str
    """Below the version's folder, with forward slashes."""
    seed: int
    """Of its noise."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Made:
    """An image that was made, and what is known of it."""

    content: bytes | None
    """The PNG file; None where a pixel is no finite number."""
    filter_score: float | None = None
    """The filter's probability of the class asked for."""
    refused: str | None = None
    """Why the filter refuses it."""
    nearest_train: float | None = None
    """How far the nearest train image of its class is, see `nearest.Thumbnails`."""


class Version:
    """Writes the images of `places` in their order; a row follows its file: a crash leaves no row without one."""

    def __init__(self, path: Path, *, places: Sequence[Place], origin: Mapping[str, Any]) -> None:
        """Read what is there already.

        Args:
            path: The folder, held by this process.
            places: All images that are asked for.
            origin: Further columns of every row.

        Raises:
            CheckpointError: The manifest is damaged, or a file differs from it.
            OutputError: Half a line at its end cannot be removed.
        """
        self.path, self.places, self._origin = path, places, origin
        self.rows = self._read()
        self._kept = {row["sha256"]: row["path"] for row in self.rows if row["kept"]}
        pairs = zip(places, self.rows, strict=False)
        self._gone = {place: row for place, row in pairs if row["kept"] and not self._sound(row)}
        self.missing = [*self._gone, *places[len(self.rows) :]]
        """What is still to be made."""

    def add(self, place: Place, made: Made) -> None:
        """Write the next of the `missing` images, or only a row that says why not.

        Args:
            place: Of the image.
            made: The image.

        Raises:
            OutputError: It cannot be written, or another file is in its place.
        """
        content = made.content
        sha256 = hashlib.sha256(content).hexdigest() if content is not None else None
        if place in self._gone:
            if content is None or sha256 != self._gone[place]["sha256"]:
                raise self._differs(place.path, "an image that this machine makes differently")
            self._write(place.path, content)
            return
        reason = made.refused
        if content is None or sha256 in self._kept:
            reason = "not finite" if content is None else f"same as {self._kept[sha256]}"
        if content is not None and reason is None:
            self._write(place.path, content)
        row: Row = {"path": place.path if reason is None else None, "sha256": sha256, "class": place.class_name}
        row |= {"seed": place.seed, **self._origin}
        row |= {"filter_score": made.filter_score, "nearest_train": made.nearest_train}
        row |= {"kept": reason is None, "reason": reason}
        append_line(self.path / MANIFEST, json.dumps(row, ensure_ascii=False))
        self.rows.append(row)
        if reason is None:
            self._kept[sha256] = place.path

    def summary(self) -> list[str]:
        """How many were asked for and kept, in all and of each class that lost some."""
        asked, kept = Counter(place.class_name for place in self.places), Counter[str]()
        reasons: dict[str, Counter[str]] = {}
        for row in self.rows:
            kept[row["class"]] += row["kept"]
            if not row["kept"]:
                kind = next(words for start, words in _KINDS.items() if row["reason"].startswith(start))
                reasons.setdefault(row["class"], Counter())[kind] += 1
        lines = [f"Asked {len(self.places)}, kept {kept.total()}, of {len(asked)} classes."]
        for name, found in reasons.items():
            why = ", ".join(f"{count} {kind}" for kind, count in found.items())
            lines.append(f"  {name}: asked {asked[name]}, kept {kept[name]} ({why})")
        if emptied := [name for name in asked if not kept[name]]:
            lines.append(none_kept(emptied, asked=len(asked)))
        return lines

    def _write(self, path: str, content: bytes) -> None:
        """A crash before its row was written leaves a file with these very bytes."""
        target = self.path / path
        make_folder(target.parent)
        if not os.path.lexists(target):
            atomic_write(target, content)
        elif target.read_bytes() != content:
            raise self._differs(path, "another file")

    def _read(self) -> list[Row]:
        """The manifest's rows, each compared with its place."""
        file = self.path / MANIFEST
        lines = file.read_bytes().split(b"\n") if file.exists() else [b""]
        if lines[-1]:  # the writing process died within a line
            logger.info("%s ends in half a line: it is removed, and its image made again", file)
            atomic_write(file, b"".join(line + b"\n" for line in lines[:-1]))
        rows: list[Row] = []
        for number, line in enumerate(lines[:-1]):
            try:
                row: Row = json.loads(line)
                place = self.places[number]
                wanted = {"class": place.class_name, "seed": place.seed, "path": place.path, **self._origin}
                if not row["kept"]:
                    wanted["path"] = None
                if not row["kept"] and not row["reason"].startswith(tuple(_KINDS)):
                    raise ValueError(f"line {number + 1} has an unknown reason")
                if any(row[key] != value for key, value in wanted.items()) or "sha256" not in row:
                    raise ValueError(f"line {number + 1} is of another image")
            except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError) as error:
                got = f"line {number + 1}: {error}"
                expected, remedy = "lines as they were written", "restore it, or choose another --out"
                raise CheckpointError(fault(f"{file} is damaged", got=got, expected=expected, remedy=remedy)) from error
            rows.append(row)
        return rows

    def _sound(self, row: Row) -> bool:
        """Whether the file of a row is there; one that was changed is refused."""
        file = self.path / row["path"]
        if not file.is_file():
            return False
        if hashlib.sha256(file.read_bytes()).hexdigest() != row["sha256"]:
            raise self._differs(row["path"], "other bytes")
        return True

    def _differs(self, path: str, got: str) -> OutputError:
        what = f"{self.path / path} is not what {MANIFEST} says"
        remedy = "move it away, so that it is made again, or choose another --out"
        return OutputError(fault(what, got=got, expected="the image of its seed", remedy=remedy))


def none_kept(emptied: Sequence[str], *, asked: int) -> str:
    """Says which of the `asked` classes have no image."""
    more = f" and {len(emptied) - _SHOWN} more" if len(emptied) > _SHOWN else ""
    return f"No image was kept of {len(emptied)} of the {asked} classes: {', '.join(emptied[:_SHOWN])}{more}."


@contextmanager
def open_version(
    path: Path,
    *,
    settings: Mapping[str, Any],
    places: Sequence[Place],
    origin: Mapping[str, Any],
    train_images: bytes | None,
) -> Iterator[Version]:
    """Begin a version or go on with it; a second process waits until the first is done.

    Args:
        path: Its folder: new, empty, or begun with the same settings.
        settings: All that its images depend on, plain JSON.
        places: All its images.
        origin: Further columns of every row.
        train_images: The file that tells what its generator was trained on.

    Raises:
        CheckpointError: It was begun with other settings, or is damaged.
        OutputError: It cannot be written, or holds something else.
    """
    _refuse_others(path)
    with exclusive(path / _LOCK):
        file = path / SETTINGS
        if file.exists():
            require_same(read_json(file, dict), json.loads(json.dumps(settings)), file)
        else:
            atomic_write(file, json.dumps(settings, indent=1, ensure_ascii=False) + "\n")
        if train_images is not None:
            atomic_write(path / TRAIN_IMAGES, train_images)
        yield Version(path, places=places, origin=origin)


def _refuse_others(path: Path) -> None:
    """Nothing is mixed into a folder that this command did not begin."""
    try:
        names = set(os.listdir(path))
    except FileNotFoundError:
        return
    except OSError as error:
        got, remedy = error.strerror or str(error), "choose another --out"
        raise OutputError(fault(f"{path} is no folder", got=got, expected="a new folder", remedy=remedy)) from error
    others = sorted(name for name in names if name != _LOCK and not name.startswith(".tmp-"))
    if others and SETTINGS not in names:
        got, remedy = f"{others[0]} and others" if len(others) > 1 else others[0], "choose another --out"
        expected = "a new folder, or one that --gen began"
        raise OutputError(fault(f"{path} holds something else", got=got, expected=expected, remedy=remedy))
