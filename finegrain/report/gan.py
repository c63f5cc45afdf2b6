"""The report of a GAN's training: its images beside real ones, how far they are from them, and how it went."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from finegrain.errors import printable
from finegrain.metrics.kernel_distance import KernelDistance
from finegrain.report.escape import one_line
from finegrain.report.figures import gan_curves_png
from finegrain.report.tables import history_csv, json_text
from finegrain.report.templates import one_line_pairs, render
from finegrain.storage import atomic_write

COLLAPSED = 2.0
"""How many times the kept generator's distance the last one's must be to be called collapsed: a convention."""
FEW_STEPS = 1000
"""After fewer the distance may rise only because little was learned yet: a convention, too."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GanReport:
    """Everything a training of a GAN has to tell, as plain values."""

    name: str
    class_names: Sequence[str]
    history: Sequence[Mapping[str, float]]
    """One row an evaluation, the last of the last step."""
    kept_step: int
    distance: KernelDistance
    """Of the kept generator's images to val's."""
    generated: bytes
    """A grid as PNG, a class a row."""
    real: bytes
    """The same of train images."""
    walks: bytes
    """From one noise to another, a class a row, as PNG."""
    across: bytes
    """One noise a row in every class, as PNG."""
    counts: Mapping[str, int]
    """Images of each split."""
    identity: Mapping[str, str]
    """Digests of the splits and of what their images show."""
    seconds: Mapping[str, float]
    peak_memory_bytes: int
    environment: Mapping[str, str]
    recipe_source: str
    notes: Sequence[str] = ()

    def outcome(self) -> str:
        """How training ended, in one sentence."""
        last = self.history[-1]
        step, kept = int(last["step"]), self.kept_step
        if step == kept:
            return f"The last of {step:,} steps was the best evaluated: more steps may still help."
        if last["kernel_distance"] > max(COLLAPSED * self.distance.value, self.distance.floor.high):
            times = last["kernel_distance"] / self.distance.value if self.distance.value > 0 else float("inf")
            if kept == int(self.history[0]["step"]):
                return (
                    f"Left off at step {step:,}, {times:.1f} times as far from val as at step {kept:,}, which is used: "
                    "the first that was evaluated, so too little was learned to speak of a collapse."
                )
            doubt = " After so few steps this may be too little training, no collapse." if step < FEW_STEPS else ""
            return f"Collapsed at step {step:,} ({times:.1f} times the distance), using step {kept:,}.{doubt}"
        return f"No longer better at step {step:,}, using step {kept:,}."

    def headline(self) -> str:
        """The result in one line, for a terminal."""
        d = self.distance
        return (
            f"{one_line(self.name)}: kernel distance to val {d.value:.3g}{_ends(d)}, floor {d.floor.high:.3g}, "
            f"n = {d.n_fake} generated and {d.n_real} real, by {one_line(d.extractor.name)}. {self.outcome()}"
        )

    def write(self, folder: Path) -> Path:
        """Write `metrics.json`, `history.csv`, `curves.png`, `generated.png` and `report.html`, whose path is returned.

        Raises:
            OutputError: A file cannot be written.
        """
        floor = self.distance.floor.high
        curves = gan_curves_png(self.history, kept_step=self.kept_step, floor=floor)
        files = {
            "metrics.json": self._metrics().encode(),
            "history.csv": history_csv(self.history).encode(),
            "curves.png": curves,
            "generated.png": self.generated,
            "report.html": self._html(curves).encode(),
        }
        for name, content in files.items():
            atomic_write(folder / name, content)
        return folder / "report.html"

    def _metrics(self) -> str:
        return json_text(
            {
                "name": one_line(self.name),
                "class_names": [one_line(name) for name in self.class_names],
                "outcome": self.outcome(),
                "kept_step": self.kept_step,
                "kernel_distance": asdict(self.distance) | {"above_floor": self.distance.above_floor},
                "counts": dict(self.counts),
                "identity": dict(self.identity),
                "seconds_by_phase": dict(self.seconds),
                "peak_memory_bytes": self.peak_memory_bytes,
                "notes": [one_line(note) for note in self.notes],
                "environment": {key: one_line(value) for key, value in self.environment.items()},
            }
        )

    def _html(self, curves: bytes) -> str:
        pictures = {"curves": curves} | {name: getattr(self, name) for name in ("generated", "real", "walks", "across")}
        return render(
            "gan.html.jinja",
            {
                "name": one_line(self.name),
                "names": [one_line(name) for name in self.class_names],
                "outcome": self.outcome(),
                "distance": self.distance,
                "ends": _ends(self.distance),
                "extractor": one_line(self.distance.extractor.name),
                "pictures": {name: "data:image/png;base64," + _base64(png) for name, png in pictures.items()},
                "recipe": printable(self.recipe_source),
                "data": [(f"{split} images", f"{count:,}") for split, count in self.counts.items()]
                + [(name, digest[:16]) for name, digest in self.identity.items()],
                "environment": one_line_pairs(self.environment),
                "notes": [one_line(note) for note in self.notes],
                "seconds": sum(self.seconds.values()),
            },
        )


def _ends(distance: KernelDistance) -> str:
    return "" if distance.interval is None else f" ({distance.interval[0]:.3g} to {distance.interval[1]:.3g})"


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
