"""The page of the command `explain`, and its pictures: what speaks for a class, image by image."""

import base64
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from finegrain.errors import OutputError, fault
from finegrain.report.escape import one_line
from finegrain.report.heat import png, side_by_side
from finegrain.report.templates import render
from finegrain.storage import atomic_write


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Panel:
    """One picture and what it shows."""

    title: str
    picture: NDArray[np.uint8]
    """RGB, uint8 [H, W, 3]."""
    wide: bool = False
    """Whether it takes a row of its own, in its own size."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Explained:
    """One image and the maps over it."""

    path: str
    label: str | None
    """Its true class, where it is known."""
    predicted: str
    probability: float
    panels: Sequence[Panel]
    """The photograph as the model sees it, then the maps."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Explanations:
    """What one call of `explain` found."""

    name: str
    """The recipe's."""
    method: str
    architecture: str
    chosen: str
    """Which images these are, in a sentence."""
    reading: str
    """How to read the maps, in a sentence or two."""
    images: Sequence[Explained]
    views: str = "plain"
    """What the predictions written down elsewhere are averages over; maps and probabilities are of the plain view."""

    def write(self, page: Path, pictures: Path) -> None:
        """Write the page, one file that asks for nothing from anywhere, and a PNG of each image's panels in a row.

        Args:
            page: The HTML file.
            pictures: A folder of its own: what lies there of an earlier call is removed.

        Raises:
            OutputError: A file cannot be written.
        """
        try:
            shutil.rmtree(pictures, ignore_errors=True)
            pictures.mkdir(parents=True)
        except OSError as error:
            remedy = "free that path, or work in a folder you may write to"
            raise OutputError(
                fault("cannot write the pictures", got=str(error), expected=f"the folder {pictures}", remedy=remedy)
            ) from error
        for number, image in enumerate(self.images, start=1):
            atomic_write(pictures / f"{number:04d}.png", png(side_by_side([panel.picture for panel in image.panels])))
        atomic_write(page, html(self))


def html(record: Explanations) -> str:
    """The page."""
    return render(
        "explanations.html.jinja",
        {
            "name": one_line(record.name),
            "method": record.method,
            "architecture": one_line(record.architecture),
            "chosen": one_line(record.chosen),
            "reading": record.reading,
            "views": one_line(record.views),
            "images": [
                {
                    "path": one_line(image.path),
                    "label": None if image.label is None else one_line(image.label),
                    "predicted": one_line(image.predicted),
                    "probability": image.probability,
                    "right": image.label in (None, image.predicted),
                    "panels": [(one_line(panel.title), _data_uri(panel.picture), panel.wide) for panel in image.panels],
                }
                for image in record.images
            ],
        },
    )


def _data_uri(picture: NDArray[np.uint8]) -> str:
    return "data:image/png;base64," + base64.b64encode(png(picture)).decode("ascii")
