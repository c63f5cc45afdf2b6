"""The report: what a run leaves for people and programs to read."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from finegrain.report import figures, page, tables
from finegrain.report.escape import one_line
from finegrain.report.format import interval, percent
from finegrain.report.record import Record
from finegrain.storage import atomic_write


@dataclass(frozen=True, kw_only=True, slots=True)
class Report(Record):
    """A record that can be written down."""

    def headline(self) -> str:
        """The result in one line, for a terminal."""
        test = self.test
        return (
            f"{one_line(self.name)}: test top-1 {percent(test.top1)} ({interval(test.top1_interval)}, n = {test.n}), "
            f"macro-F1 {percent(test.macro_f1)}"
        )

    def write(self, folder: Path, *, write: Callable[[Path, bytes], None] = atomic_write) -> Path:
        """Write every file of the report into `folder`; return the path of `report.html`, which comes last.

        The files are `metrics.json`, `predictions.csv`, `confusion.png`, `report.md`, `report.html` and, where there
        is a history, `history.csv` and `curves.png`.

        Args:
            folder: An existing folder.
            write: Writes one file whole or not at all.

        Raises:
            OutputError: A file cannot be written.
        """
        files = {
            "metrics.json": tables.metrics_json(self).encode(),
            "predictions.csv": tables.predictions_csv(self.predictions, self.class_names).encode(),
            "confusion.png": figures.confusion_png(self.test.confusion, self.class_names),
        }
        if self.history:
            files["history.csv"] = tables.history_csv(self.history).encode()
            files["curves.png"] = figures.curves_png(self.history, kept_epoch=self.kept_epoch)
        files["report.md"] = page.summary(self).encode()
        files["report.html"] = page.html(self).encode()
        for name, content in files.items():
            write(folder / name, content)
        return folder / "report.html"
