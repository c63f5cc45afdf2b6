"""The report of a learning curve: what it leaves for people and programs to read."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from finegrain.metrics.repeated import Judged
from finegrain.report.escape import one_line
from finegrain.report.figures import learning_curve_png
from finegrain.report.format import interval, percent
from finegrain.report.learning_curve_page import html
from finegrain.report.learning_curve_record import LearningCurveRecord
from finegrain.report.tables import json_text
from finegrain.storage import atomic_write

PAGE = "learning_curve.html"
RESULTS = (
    "per_class", "seed", "fold", "images", "trained_images", "top1", "train_sha256", "val_sha256", "test_sha256",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class LearningCurveReport(LearningCurveRecord):
    """A record that can be written down."""

    def headline(self) -> str:
        """The result in a few lines, for a terminal."""
        lines = [
            f"{point.per_class} images of each class: top-1 {percent(point.top1)} ({interval(point.interval)}), "
            f"{point.trained:.3g} of them trained on, the others val's"
            for point in self.points
        ]
        lines += [self.law()]
        lines += [
            f"{value.per_class} images of each class: top-1 {percent(value.top1)} ({interval(value.interval)}), "
            "extrapolated, not measured"
            for value in self.ahead()
        ]
        return "\n".join([one_line(self.name), *lines])

    def write(self, folder: Path) -> Path:
        """Write `metrics.json`, `learning_curve.png` and `learning_curve.html` into `folder`.

        Returns:
            The path of `learning_curve.html`, which comes last.

        Raises:
            OutputError: A file cannot be written.
        """
        atomic_write(folder / "metrics.json", _metrics_json(self))
        atomic_write(folder / "learning_curve.png", learning_curve_png(self))
        atomic_write(folder / PAGE, html(self))
        return folder / PAGE


def result_row(per_class: int | None, cell: Judged, *, hashes: Mapping[str, str]) -> list[object]:
    """What `results.csv` says of a training, under `RESULTS`."""
    return [
        per_class, cell.seed, cell.fold, len(cell.paths), cell.trained_images, float(cell.hits.mean()),
        hashes["train"], hashes["val"], hashes["test"],
    ]  # fmt: skip


def _metrics_json(record: LearningCurveRecord) -> str:
    measured = [
        {
            "per_class": point.per_class,
            "trained_per_class": point.trained,
            "top1": point.top1,
            "interval": point.interval,
            "interval_of": "seeds and images" if point.of_training else "images",
            "sd": point.spread.sd,
        }
        for point in record.points
    ]
    return json_text(
        {
            "name": one_line(record.name),
            "measured": measured,
            "fitted": asdict(record.fit.law) if record.fit else None,
            "extrapolated": [asdict(value) for value in record.ahead()],
            "protocol": [one_line(sentence) for sentence in record.protocol],
            "notes": [one_line(note) for note in record.notes],
            "environment": {key: one_line(value) for key, value in record.environment.items()},
        }
    )
