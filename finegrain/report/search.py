"""The report of a search of settings: what it leaves for people and programs to read."""

from dataclasses import dataclass
from pathlib import Path

from finegrain.report.escape import csv_cell
from finegrain.report.search_page import html
from finegrain.report.search_record import SearchRecord
from finegrain.report.tables import csv_text
from finegrain.storage import atomic_write


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchReport(SearchRecord):
    """A record that can be written down."""

    def write(self, folder: Path) -> Path:
        """Write `trials.csv` and `report.html` into `folder`; return the path of the latter.

        Raises:
            OutputError: A file cannot be written.
        """
        atomic_write(folder / "trials.csv", _trials_csv(self))
        atomic_write(folder / "report.html", html(self))
        return folder / "report.html"


def _trials_csv(record: SearchRecord) -> str:
    keys = [varied.key for varied in record.varied]
    columns = ["trial", *keys, f"val_{record.monitor}", "val_loss", "kept_epoch", "epochs", "seconds", "stopped"]
    rows = [
        [
            trial.number,
            *(csv_cell(value) if isinstance(value, str) else value for value in map(trial.values.__getitem__, keys)),
            *("" if value is None else value for value in (trial.figure, trial.loss, trial.kept_epoch)),
            trial.epochs,
            round(trial.seconds, 1),
            csv_cell(trial.stopped),
        ]
        for trial in record.trials
    ]
    return csv_text(columns, rows)
