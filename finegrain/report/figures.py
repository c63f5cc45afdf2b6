"""Pictures of a run for slides and papers: the curves and the confusion matrix as PNG."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray

from finegrain.report.chart import charts
from finegrain.report.escape import one_line

MOST_NAMED_CLASSES = 60
"""With more classes than this their names would be too small to read, and are left out."""
MOST_COUNTED_CLASSES = 15
"""Up to this many classes the counts fit into the cells."""


def curves_png(history: Sequence[Mapping[str, float]], *, best_epoch: int | None = None) -> bytes:
    """Loss, accuracy and learning rate over the epochs of `history`, side by side."""
    drawn = charts(history, best_epoch=best_epoch)
    figure = Figure(figsize=(4.2 * max(len(drawn), 1), 3.2), layout="constrained")
    epochs = [row["epoch"] for row in history]
    for axes, chart in zip(np.atleast_1d(figure.subplots(1, max(len(drawn), 1))), drawn, strict=False):
        for line in chart.lines:
            values = [float("nan") if value is None else value for value in line.values]
            axes.plot(epochs, values, label=line.name, marker="o" if len(epochs) == 1 else None)
        if best_epoch is not None:
            axes.axvline(best_epoch, color="0.6", linewidth=0.8, linestyle="--")
        axes.set_title(chart.title)
        axes.set_xlabel("epoch")
        axes.set_ylabel(chart.unit)
        axes.grid(alpha=0.25)
        if len(chart.lines) > 1:
            axes.legend(frameon=False)
    return _png(figure)


def confusion_png(confusion: NDArray[np.int64], class_names: Sequence[str]) -> bytes:
    """`confusion` [K, K] as a heat map: each row is the share of a true class's images given to every class."""
    classes = len(confusion)
    named = classes <= MOST_NAMED_CLASSES
    side = min(max(4.5, 0.22 * classes + 2.0), 14.0)
    share = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    figure = Figure(figsize=(side + 0.8, side), layout="constrained")
    axes = figure.subplots()
    # The root keeps a single wrong image of a large class visible.
    picture = axes.imshow(share, cmap="Blues", norm=PowerNorm(0.5, vmin=0, vmax=1), interpolation="nearest")
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    if named:
        names = [_label(name) for name in class_names]
        axes.set_xticks(range(classes), names, rotation=90, fontsize=7)
        axes.set_yticks(range(classes), names, fontsize=7)
    if classes <= MOST_COUNTED_CLASSES:
        for (row, column), count in np.ndenumerate(confusion):
            ink = "white" if share[row, column] > 0.4 else "black"
            axes.text(column, row, str(count), ha="center", va="center", fontsize=8, color=ink)
    figure.colorbar(picture, ax=axes, label="share of the true class", shrink=0.8)
    return _png(figure)


def _label(name: str) -> str:
    """A class name as a figure can show it: one line, not too long, and no `$`, which would start a formula."""
    line = one_line(name).replace("$", r"\$")
    return line if len(line) <= 28 else f"{line[:27]}…"


def _png(figure: Any) -> bytes:
    """`figure` drawn by its own canvas: no global state, so safe from any thread."""
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)
    return buffer.getvalue()
