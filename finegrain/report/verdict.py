"""The report of a verdict on generated images: `verdict.html`, `verdict.json` and the line for a terminal."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from finegrain.errors import printable
from finegrain.metrics.benefit import ARMS, Arm
from finegrain.metrics.comparison import Comparison
from finegrain.report.escape import one_line
from finegrain.report.format import percent, signed
from finegrain.report.tables import json_text
from finegrain.report.templates import one_line_pairs, render
from finegrain.report.verdict_chart import forest
from finegrain.report.verdict_record import VerdictRecord
from finegrain.storage import atomic_write

PAGE, JSON = "verdict.html", "verdict.json"
NAMES: dict[Arm, str] = {
    "real": "real",
    "duplicated": "real + duplicates",
    "synthetic": "real + generated",
    "shuffled": "real + generated, labels shuffled",
    "synthetic only": "generated only (CAS)",
}
"""How the page calls the arms."""


@dataclass(frozen=True, kw_only=True, slots=True)
class VerdictReport(VerdictRecord):
    """A record that can be written down."""

    def headline(self) -> str:
        """The verdict in one line, for a terminal."""
        against = signed(self.benefit.differences["synthetic", "duplicated"].difference)
        return f"{self.benefit.verdict}: {self.sentence()} {self.benefit.reason} Against duplicates: {against} points."

    def sentence(self) -> str:
        """What was measured: difference, interval, seeds, images, share."""
        span = "no interval, as nothing varies"
        if self.main.interval is not None:
            span = f"95 % interval {' to '.join(map(signed, self.main.interval))}"
        return (
            f"with {one_line(self.version)} as {percent(self.fraction, 0)} of the images trained on, top-1 changes by "
            f"{signed(self.main.difference)} points against real images alone ({span}; {self.benefit.seeds} paired "
            f"seeds, n = {self.benefit.images:,} test images)."
        )

    def write(self, folder: Path) -> Path:
        """Write `verdict.json` and `verdict.html`, whose path is returned.

        Raises:
            OutputError: A file cannot be written.
        """
        atomic_write(folder / JSON, json_text(self._content()))
        atomic_write(folder / PAGE, self._html())
        return folder / PAGE

    def _content(self) -> dict[str, Any]:
        return {
            "verdict": self.benefit.verdict,
            "reason": self.benefit.reason,
            "name": one_line(self.name),
            "version": one_line(self.version),
            "seeds": self.benefit.seeds,
            "test_images": self.benefit.images,
            "fraction": self.fraction,
            "candidates": [{"fraction": share, "val_top1": top1} for share, top1 in self.candidates.items()],
            "differences": [
                {"arm": arm, "against": other, **_figures(comparison), "by_seed": list(self.paired(arm, other))}
                for (arm, other), comparison in self.benefit.differences.items()
            ],
            "arms": [asdict(row) for row in self.arms],
            "classes": [asdict(row) | {"name": one_line(row.name)} for row in self.classes],
            "test_evaluations": self.test_evaluations,
            "origin": dict(self.origin),
            "protocol": [one_line(sentence) for sentence in self.protocol],
            "notes": [one_line(note) for note in self.notes],
            "seconds_by_phase": dict(self.seconds),
            "environment": {key: one_line(value) for key, value in self.environment.items()},
        }

    def _html(self) -> str:
        differences = self.benefit.differences
        rows = [
            (NAMES[arm], self.of(arm), differences.get((arm, "real")), differences.get((arm, "duplicated")))
            for arm in ARMS
        ]
        return render(
            "verdict.html.jinja",
            {
                "record": self,
                "name": one_line(self.name),
                "version": one_line(Path(self.version).name),
                "verdict": self.benefit.verdict,
                "reason": self.benefit.reason,
                "sentence": self.sentence(),
                "chart": forest(self),
                "rows": rows,
                "strengths": any(row.strength for row in self.arms),
                "classes": [(one_line(row.name), row) for row in self.classes],
                "protocol": [one_line(sentence) for sentence in self.protocol],
                "notes": [one_line(note) for note in self.notes],
                "origin": one_line_pairs(self.origin),
                "environment": one_line_pairs(self.environment),
                "recipe": printable(self.recipe_source),
                "seconds": sum(self.seconds.values()),
            },
        )


def _figures(comparison: Comparison) -> dict[str, Any]:
    return {"difference": comparison.difference, "interval": comparison.interval, "p": comparison.p}
