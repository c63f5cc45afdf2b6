"""Pictures as PNG: curves, confusion matrices, the cells of a repeated evaluation, range tests, learning curves."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray

from finegrain.report.cells_chart import Group
from finegrain.report.chart import charts
from finegrain.report.escape import one_line
from finegrain.report.learning_curve_record import LearningCurveRecord

MOST_NAMED_CLASSES = 60
"""With more classes than this their names would be too small to read, and are left out."""
MOST_COUNTED_CLASSES = 15
"""Up to this many classes the counts fit into the cells."""
_STYLES = (("tab:blue", "-"), ("tab:orange", "-"), ("black", "-"), ("tab:orange", ":"))
"""Of the lines of a chart by their number: one colour for each split."""


def curves_png(history: Sequence[Mapping[str, float]], *, kept_epoch: int | None = None) -> bytes:
    """Loss, accuracy and learning rate over the epochs of `history`, side by side."""
    drawn = charts(history, kept_epoch=kept_epoch)
    figure = Figure(figsize=(4.2 * max(len(drawn), 1), 3.2), layout="constrained")
    epochs = [row["epoch"] for row in history]
    for axes, chart in zip(np.atleast_1d(figure.subplots(1, max(len(drawn), 1))), drawn, strict=False):
        for line in chart.lines:
            values = [float("nan") if value is None else value for value in line.values]
            color, style = _STYLES[line.number - 1]
            marker = "o" if len(epochs) == 1 else None
            axes.plot(epochs, values, label=line.name, color=color, linestyle=style, marker=marker)
        if kept_epoch is not None:
            axes.axvline(kept_epoch, color="0.6", linewidth=0.8, linestyle="--")
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


def cells_png(groups: Sequence[Group]) -> bytes:
    """The top-1 accuracy of every cell as a dot, and of each group the mean and, with four cells or more, a box."""
    figure = Figure(figsize=(min(max(4.0, 0.55 * len(groups) + 1.5), 14.0), 3.6), layout="constrained")
    axes = figure.subplots()
    for at, group in enumerate(groups):
        places = at + np.linspace(-0.22, 0.22, len(group.scores)) if len(group.scores) > 1 else [at]
        axes.scatter(places, group.scores, s=14, color="tab:blue", alpha=0.7, linewidths=0, zorder=3)
        axes.hlines(group.mean, at - 0.34, at + 0.34, color="black", linewidth=1.5, zorder=4)
        if group.quartiles is not None:
            low, high = group.quartiles
            axes.bar(at, high - low, bottom=low, width=0.68, color="tab:blue", alpha=0.2)
    axes.set_xticks(range(len(groups)), [group.label for group in groups])
    axes.set_xlabel("seed")
    axes.set_ylabel("top-1, %")
    scores = [score for group in groups for score in group.scores]
    margin = 0.08 * (max(scores) - min(scores)) or 1.0  # a bar would draw the axis down to 0
    axes.set_ylim(min(scores) - margin, max(scores) + margin)
    axes.grid(axis="y", alpha=0.25)
    return _png(figure)


def lr_range_png(
    rates: Sequence[float], losses: Sequence[float], curve: Sequence[float], *, suggestion: float | None
) -> bytes:
    """The loss of each step of a range test over its learning rate [T], and the smoothed curve; suggestion dashed."""
    figure = Figure(figsize=(6.4, 3.8), layout="constrained")
    axes = figure.subplots()
    axes.plot(rates, losses, color="0.7", linewidth=0.8, label="each step")
    axes.plot(rates, curve, color="tab:blue", label="smoothed")
    if suggestion is not None:
        axes.axvline(suggestion, color="tab:orange", linestyle="--", label=f"steepest, {suggestion:.1e}")
    axes.set_xscale("log")
    low, start = min(curve), curve[0]
    margin = 0.5 * (start - low) or 1.0  # the explosion at the end would press the rest flat
    axes.set_ylim(low - 0.3 * margin, start + margin)
    axes.set_xlabel("learning rate")
    axes.set_ylabel("train loss, nats")
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    return _png(figure)


def learning_curve_png(record: LearningCurveRecord) -> bytes:
    """Top-1 over the images trained on with 95 % intervals, and the fitted power law, dashed beyond the last point."""
    figure = Figure(figsize=(6.4, 3.8), layout="constrained")
    axes = figure.subplots()
    counts = [point.trained for point in record.points]
    for point in record.points:
        if point.interval is not None:
            low, high = (100 * end for end in point.interval)
            axes.vlines(point.trained, low, high, color="tab:blue", alpha=0.5, linewidth=3)
    axes.plot(counts, [100 * point.top1 for point in record.points], "o", color="tab:blue", label="measured")
    ahead = record.ahead()
    if record.fit is not None:
        inside, beyond = np.geomspace(counts[0], counts[-1]), np.geomspace(counts[-1], ahead[-1].trained)
        axes.plot(inside, 100 * record.fit.law.at(inside), color="tab:blue", label="fitted")
        label = "extrapolated, not measured"
        axes.plot(beyond, 100 * record.fit.law.at(beyond), "--", color="tab:orange", label=label)
        ends = record.fit.intervals(beyond.tolist())
        if ends is not None:
            axes.fill_between(beyond, *(100 * np.array(ends).T), color="tab:orange", alpha=0.15, linewidth=0)
    axes.set_xscale("log", base=2)
    labelled = [*counts, *(value.trained for value in ahead)]
    axes.set_xticks(labelled, [f"{count:.3g}" for count in labelled])
    axes.minorticks_off()
    axes.set_xlabel("images of each class to train on")
    axes.set_ylabel("top-1, %")
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    return _png(figure)


def gan_curves_png(history: Sequence[Mapping[str, float]], *, kept_step: int, floor: float) -> bytes:
    """Over the steps: the kernel distance, a discriminator's scores or else the squared error, the spread in classes.

    Args:
        history: One row an evaluation.
        kept_step: Dashed.
        floor: The distance that 95 % of random halves of the real images do not reach, dotted.
    """
    figure = Figure(figsize=(12.6, 3.2), layout="constrained")
    steps = [row["step"] for row in history]
    scores = "discriminator's mean score", {"d_real": "real", "d_fake": "generated"}
    middle = scores if "d_real" in history[0] else ("mean squared error", {"mse": "train"})
    titles = "kernel distance to val", middle[0], "spread in classes over val's"
    names = {"kernel_distance": "generated"}, middle[1], {"diversity": "generated"}
    for axes, title, lines in zip(figure.subplots(1, 3), titles, names, strict=True):
        for name, label in lines.items():
            axes.plot(steps, [row[name] for row in history], label=label, marker="." if len(steps) < 20 else None)
        axes.axvline(kept_step, color="0.6", linewidth=0.8, linestyle="--")
        if "kernel_distance" in lines:
            axes.axhline(floor, color="0.3", linewidth=0.8, linestyle=":", label="floor of real images")
        axes.set_title(title)
        axes.set_xlabel("step")
        axes.grid(alpha=0.25)
        axes.legend(frameon=False)
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
