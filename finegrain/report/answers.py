"""What models said of images that have no label: a table for people, JSON for programs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from finegrain.report.escape import csv_cell, one_line
from finegrain.report.tables import csv_text, json_text


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Answers:
    """What was said of N files of K classes; what stands at the place of one that cannot be read means nothing."""

    models: Sequence[str]
    """Who said it, on average."""
    class_names: Sequence[str]
    paths: Sequence[str]
    """Of each file, N of them."""
    probabilities: NDArray[np.float64]
    """As the models give them [N, K]."""
    calibrated: NDArray[np.float64] | None
    """Scaled by a temperature [N, K]; None where none is known."""
    unsure: NDArray[np.bool_] | None
    """Whether the likeliest class should not be believed [N]; None where no rule is known."""
    sets: NDArray[np.bool_] | None
    """The classes in each image's conformal set [N, K]; None where none are known."""
    unreadable: Mapping[int, str]
    """Why, by the position of the file."""
    notes: Sequence[str]
    """What a reader should know, one sentence each."""
    top: int
    """How many classes are told of each image, at most."""

    @property
    def read(self) -> list[int]:
        """The positions of the images that were read."""
        return [index for index in range(len(self.paths)) if index not in self.unreadable]

    def csv(self) -> str:
        """One row a file, in their order: the likeliest classes, how sure, and why it could not be read."""
        ranked, names = self._ranked(), [csv_cell(name) for name in self.class_names]
        header = ["path"]
        for rank in range(1, ranked.shape[1] + 1):
            header += [f"class_{rank}", f"probability_{rank}", f"calibrated_{rank}"]
        header += ["unsure", "set", "error"]
        rows = (self._row(index, ranked[index], names) for index in range(len(self.paths)))
        return csv_text(header, rows)

    def json(self) -> str:
        """The same, without escapes for spreadsheets."""
        ranked, names = self._ranked(), [one_line(name) for name in self.class_names]
        content = {
            "models": [one_line(name) for name in self.models],
            "notes": [one_line(note) for note in self.notes],
            "predictions": [self._entry(index, ranked[index], names) for index in self.read],
            "unreadable": [
                {"path": one_line(self.paths[index]), "reason": one_line(reason)}
                for index, reason in sorted(self.unreadable.items())
            ],
        }
        return json_text(content)

    def _ranked(self) -> NDArray[np.int64]:
        return np.argsort(-self.probabilities, axis=1, kind="stable")[:, : self.top]

    def _row(self, index: int, ranked: NDArray[np.int64], names: Sequence[str]) -> list[object]:
        row: list[object] = [csv_cell(self.paths[index])]
        if index in self.unreadable:
            return [*row, *[""] * (3 * len(ranked) + 2), csv_cell(self.unreadable[index])]
        for label in ranked:
            row += [names[label], f"{self.probabilities[index, label]:.6g}"]
            row.append("" if self.calibrated is None else f"{self.calibrated[index, label]:.6g}")
        row.append("" if self.unsure is None else str(bool(self.unsure[index])).lower())
        return [*row, " | ".join(self._set(index, names) or ()), ""]

    def _entry(self, index: int, ranked: NDArray[np.int64], names: Sequence[str]) -> dict[str, object]:
        return {
            "path": one_line(self.paths[index]),
            "classes": [
                {
                    "class": names[label],
                    "probability": float(self.probabilities[index, label]),
                    "calibrated": None if self.calibrated is None else float(self.calibrated[index, label]),
                }
                for label in ranked
            ],
            "unsure": None if self.unsure is None else bool(self.unsure[index]),
            "set": self._set(index, names),
        }

    def _set(self, index: int, names: Sequence[str]) -> list[str] | None:
        """The names in an image's set, likeliest first."""
        if self.sets is None:
            return None
        inside = np.flatnonzero(self.sets[index])
        order = inside[np.argsort(-self.probabilities[index, inside], kind="stable")]
        return [names[label] for label in order]
