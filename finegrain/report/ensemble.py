"""The report of an ensemble: what it leaves for people and programs to read."""

from dataclasses import dataclass
from pathlib import Path

from finegrain.report.ensemble_page import html, summary
from finegrain.report.ensemble_record import EnsembleRecord, Row
from finegrain.report.escape import one_line
from finegrain.report.format import count, interval, percent
from finegrain.report.tables import json_text, predictions_csv
from finegrain.storage import atomic_write

PAGE = "ensemble.html"


@dataclass(frozen=True, kw_only=True, slots=True)
class EnsembleReport(EnsembleRecord):
    """A record that can be written down."""

    def headline(self) -> str:
        """The result in a few lines, for a terminal."""
        test = self.chosen.test
        lines = [
            f"{one_line(self.name)}: {self.chosen.name} of {len(self.members)} members: test top-1 "
            f"{percent(test.top1)} ({interval(test.top1_interval)}, n = {count(test.n)})",
            self.verdict(),
            self.why(),
            one_line(self.soup_words),
        ]
        if self.soup:
            lines[-1] += f" Test top-1 {percent(self.soup.test.top1)} ({interval(self.soup.test.top1_interval)})."
        return "\n".join(lines)

    def write(self, folder: Path) -> Path:
        """Write `predictions.csv`, `metrics.json`, `ensemble.md` and `ensemble.html` into `folder`.

        Returns:
            The path of `ensemble.html`, which comes last.

        Raises:
            OutputError: A file cannot be written.
        """
        atomic_write(folder / "predictions.csv", predictions_csv(self.predictions, self.class_names))
        atomic_write(folder / "metrics.json", _metrics_json(self))
        atomic_write(folder / "ensemble.md", summary(self))
        atomic_write(folder / PAGE, html(self))
        return folder / PAGE


def _metrics_json(record: EnsembleRecord) -> str:
    shares = record.diversity
    return json_text(
        {
            "name": one_line(record.name),
            "average": record.average,
            "members": [_figures(row) for row in record.members],
            "averages": {how: _figures(row) for how, row in record.averages.items()},
            "soup": _figures(record.soup) if record.soup else None,
            "soup_words": one_line(record.soup_words),
            "gain": {"difference": record.gain.difference, "interval": record.gain.interval},
            "missed_by_all": shares.missed_by_all,
            "disagreement": shares.disagreement.tolist(),
            "double_fault": shares.double_fault.tolist(),
            "test_evaluations": record.test_evaluations,
            "notes": [one_line(note) for note in record.notes],
            "environment": {key: one_line(value) for key, value in record.environment.items()},
        }
    )


def _figures(row: Row) -> dict[str, object]:
    parts = {"val": row.val, "test": row.test}
    figures = {name: metrics and metrics.as_dict() | {"ece": metrics.ece} for name, metrics in parts.items()}
    return {"name": one_line(row.name), **figures}
