"""The report of a judgement of generated images: what it leaves to read and to work with."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from finegrain.errors import printable
from finegrain.metrics.comparison import ALPHA, Comparison
from finegrain.metrics.recognition import Recognition, Taught
from finegrain.report.escape import one_line
from finegrain.report.gallery import data_uri
from finegrain.report.quality_record import QualityRecord, Twin, VersionRecord
from finegrain.report.quality_words import findings, in_short, ranking
from finegrain.report.tables import json_text
from finegrain.report.templates import one_line_pairs, render
from finegrain.storage import atomic_write

PAGE, NUMBERS = "quality.html", "quality.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class QualityReport(QualityRecord):
    """A record that can be written down."""

    def headline(self) -> str:
        """The verdicts, for a terminal, the best version first."""
        return "\n".join([*(in_short(version, self) for version in self.versions), *ranking(self)])

    def write(self, folder: Path) -> Path:
        """Write `quality.json` and `quality.html` into `folder`; return the path of the page.

        Raises:
            OutputError: They cannot be written.
        """
        atomic_write(folder / NUMBERS, self._json())
        atomic_write(folder / PAGE, self._html())
        return folder / PAGE

    def _json(self) -> str:
        return json_text(
            {
                "name": one_line(self.name),
                "class_names": [one_line(name) for name in self.class_names],
                "judged": list(self.judged),
                "extractor": asdict(self.extractor) | {"features": self.features},
                "real": {
                    "recognised": _recognition(self.real),
                    "recognised_by_class": [_recognition(row) for row in self.real_by_class],
                    "taught": _taught(self.real_taught),
                },
                "chance": self.chance,
                "versions": [self._numbers(version) for version in self.versions],
                "compared": [
                    {"first": self.versions[one].name, "second": self.versions[other].name} | _comparison(compared)
                    for (one, other), compared in self.compared.items()
                ],
                "counts": dict(self.counts),
                "identity": dict(self.identity),
                "test_evaluations": self.test_evaluations,
                "seconds_by_phase": dict(self.seconds),
                "notes": [one_line(note) for note in self.notes],
                "environment": {key: one_line(value) for key, value in self.environment.items()},
            }
        )

    def _numbers(self, version: VersionRecord) -> dict[str, Any]:
        found = version.memorisation
        copies = None
        if found is not None:
            arrays = ("distance", "nearest_train", "copies", "duplicates")
            copies = {key: value for key, value in asdict(found).items() if key not in arrays}
            copies |= {"rate": found.rate, "duplicate_rate": found.duplicate_rate}
        return {
            "name": one_line(version.name),
            "sha256": version.sha256,
            "given": version.given,
            "n": version.n,
            "counts": list(version.counts),
            "findings": findings(version, self),
            "kernel_distance": asdict(version.distances),
            "density_coverage": asdict(version.places),
            "diversity": [asdict(row) for row in version.diversities],
            "gan_test": _recognition(version.shown) | {"classes": [_recognition(r) for r in version.shown_by_class]},
            "cas": _taught(version.taught) | {"minus_real": _comparison(version.against_real)},
            "memorisation": copies,
            "nearest_to_train": [
                {"path": one_line(twin.path), "train": one_line(twin.train_path), "ratio": twin.ratio}
                for twin in version.twins
            ],
        }

    def _html(self) -> str:
        return render(
            "quality.html.jinja",
            {
                "record": self,
                "name": one_line(self.name),
                "names": [one_line(name) for name in self.class_names],
                "titles": [one_line(version.name) for version in self.versions],
                "shorts": [findings(version, self) for version in self.versions],
                "ranking": ranking(self),
                "rows": [self._rows(version) for version in self.versions],
                "strips": [(label, self._strips(label)) for label in self.judged if label in self.strips],
                "twins": [[_twin(twin) for twin in version.twins] for version in self.versions],
                "versions": [
                    (one_line(version.name), f"{version.sha256[:16]}, {version.given:,} images")
                    for version in self.versions
                ],
                "alpha": f"{ALPHA:g}",
                "extractor": one_line(self.extractor.name),
                "recipe": printable(self.recipe_source),
                "data": [(f"{split} images", f"{count:,}") for split, count in self.counts.items()]
                + [(key, digest[:16]) for key, digest in self.identity.items()],
                "environment": one_line_pairs(self.environment),
                "notes": [one_line(note) for note in self.notes],
                "seconds": sum(self.seconds.values()),
            },
        )

    def _strips(self, label: int) -> list[str]:
        """Of train and of each version."""
        return [data_uri(strips[label]) for strips in (self.strips, *(version.strips for version in self.versions))]

    def _rows(self, version: VersionRecord) -> list[dict[str, Any]]:
        """A row of the table of classes for each that was judged."""
        distances = {row.label: row for row in version.distances.classes}
        adjusted = dict(zip(distances, version.distances.adjusted_p, strict=True))
        spreads = {row.label: row for row in version.diversities}
        return [
            {
                "label": label,
                "n": version.counts[label],
                "shown": version.shown_by_class[label],
                "real": self.real_by_class[label],
                "distance": distances[label].result if label in distances else None,
                "p": adjusted.get(label),
                "diversity": spreads[label].result if label in spreads else None,
            }
            for label in self.judged
        ]


def _twin(twin: Twin) -> dict[str, Any]:
    return {
        "image": data_uri(twin.image),
        "train": data_uri(twin.train),
        "label": twin.label,
        "path": one_line("/".join(twin.path.rsplit("/", 2)[-2:])),
        "train_path": one_line(twin.train_path),
        "ratio": twin.ratio,
    }


def _recognition(of: Recognition) -> dict[str, Any]:
    return {"right": of.right, "n": of.n, "accuracy": of.accuracy, "interval": of.interval}


def _taught(of: Taught) -> dict[str, Any]:
    return {
        "accuracy": of.accuracy,
        "interval": of.interval,
        "trainings": of.trainings,
        "n_train": of.n_train,
        "n_test": len(of.labels),
    }


def _comparison(of: Comparison) -> dict[str, Any]:
    return {
        "difference": of.difference,
        "interval": of.interval,
        "p": of.p,
        "adjusted_p": of.adjusted_p,
        "smallest_detectable": of.smallest,
        "verdict": of.verdict(),
        "method": of.method,
    }
