"""The report of a repeated evaluation: what it leaves for people and programs to read."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from finegrain.report import figures, repeated_page, repeated_tables
from finegrain.report.cells_chart import by_seed
from finegrain.report.escape import one_line
from finegrain.report.format import count, interval, percent, points
from finegrain.report.repeated_record import RepeatedRecord
from finegrain.storage import atomic_write


@dataclass(frozen=True, kw_only=True, slots=True)
class RepeatedReport(RepeatedRecord):
    """A record that can be written down."""

    def headline(self) -> str:
        """The result in one line, for a terminal."""
        top1 = self.metrics.top1.spread
        scatter = f" ± {points(top1.sd)}" if top1.sd is not None else ""
        # Of both where that is known, else of the images, else of training.
        known = [row for row in reversed(self.uncertainties()) if row.interval]
        sure = f" ({interval(known[0].interval)} for {known[0].of})" if known else ""
        return (
            f"{one_line(self.name)}: top-1 {percent(top1.mean)}{scatter} over {self.division()}{sure}, "
            f"n = {count(self.metrics.images)} images"
        )

    def write(self, folder: Path, *, write: Callable[[Path, bytes], None] = atomic_write) -> Path:
        """Write every file of the report into `folder`; return the path of `report.html`, which comes last.

        The files are `costs.csv`, `suspects.csv`, `metrics.json`, `cells.png`, `confusion.png`, `report.md` and
        `report.html`.

        Args:
            folder: An existing folder.
            write: Writes one file whole or not at all.

        Raises:
            OutputError: A file cannot be written.
        """
        groups = by_seed(self.judged, [cell.top1 for cell in self.metrics.cells])
        files = {
            "costs.csv": repeated_tables.costs_csv(self).encode(),
            "suspects.csv": repeated_tables.suspects_csv(self).encode(),
            "metrics.json": repeated_tables.metrics_json(self).encode(),
            "cells.png": figures.cells_png(groups),
            "confusion.png": figures.confusion_png(self.metrics.confusion, self.class_names),
            "report.md": repeated_page.summary(self).encode(),
            "report.html": repeated_page.html(self).encode(),
        }
        for name, content in files.items():
            write(folder / name, content)
        return folder / "report.html"
