"""Tables and a figure of losses over learning rates: where the best rates lie, and what carrying another one costs."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True)
class Result:
    """What a training gave; its loss is infinite where it diverged."""

    loss: float
    top1: float


Curve = Mapping[int, Sequence[Result]]
"""By log₂ of the rate, one result a seed."""
Family = Mapping[str, Mapping[int, Curve]]
"""By the parametrisation and the width, the narrowest first."""

COSTS = ("loss (least)", "times the least", "val top-1, % (at the least loss)")


def mean_loss(results: Sequence[Result]) -> float:
    """Over seeds, of logarithms."""
    return statistics.geometric_mean([result.loss for result in results])


def best(curve: Curve) -> int:
    """log₂ of the rate of the grid with the least mean loss."""
    return min(curve, key=lambda exponent: mean_loss(curve[exponent]))


def optima(curve: Curve) -> list[float]:
    """log₂ of each seed's best rate: where the parabola through its least log-loss and the two beside it is lowest."""
    found = []
    for seed in range(len(curve[best(curve)])):
        loss = {exponent: results[seed].loss for exponent, results in curve.items()}
        least = min(loss, key=loss.__getitem__)
        below, above = (math.log(loss.get(least + step, math.inf) / loss[least]) for step in (-1, 1))
        bends = 0 < below + above < math.inf
        found.append(least + (below - above) / (2 * (below + above)) if bends else float(least))
    return found


def costs(curve: Curve, exponent: int) -> list[str]:
    """A rate's loss, how many times the least it is, and top-1 in per cent; in brackets those at the best rate.

    The times are a mean over the seeds' logarithms, in brackets their least and most.
    """
    if exponent not in curve:
        return ["–"] * 3
    at, least = curve[exponent], curve[best(curve)]
    ratios = [one.loss / other.loss for one, other in zip(at, least, strict=True)]
    right, most = (100 * statistics.fmean(result.top1 for result in results) for results in (at, least))
    return [
        f"{mean_loss(at):.2g} ({mean_loss(least):.2g})",
        f"{statistics.geometric_mean(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})",
        f"{right:.1f} ({most:.1f})",
    ]


def best_rates(families: Mapping[str, Family]) -> str:
    """log₂ of the best rate by width, and by how many octaves it shifts from the narrowest to the widest."""
    rows = [["network", "", "width: log₂ of its best rate", "shift, octaves"]]
    for name, family in families.items():
        for parametrisation, curves in family.items():
            found = {width: optima(curve) for width, curve in curves.items()}
            shown = ", ".join(f"{width}: {scatter(values)}" for width, values in found.items())
            narrow, *_, wide = found.values()
            shift = [after - before for before, after in zip(narrow, wide, strict=True)]
            rows.append([name, parametrisation, shown, scatter(shift)])
    return markdown(rows)


def carried_rates(families: Mapping[str, Family]) -> str:
    """What it costs to give the widest network the narrowest one's rate, in SP also divided by the widening."""
    rows = [["network", "", "rate", *COSTS]]
    for name, family in families.items():
        for parametrisation, curves in family.items():
            (narrow, first), *_, (wide, last) = curves.items()
            rates = {"carried": best(first)}
            if parametrisation == "SP":
                rates[f"carried / {wide // narrow}"] = best(first) - round(math.log2(wide / narrow))
            for words, rate in rates.items():
                rows.append([f"{name}, {narrow} → {wide}", parametrisation, f"2^{rate}, {words}", *costs(last, rate)])
    return markdown(rows)


def other_networks(known: Curve, others: Mapping[str, Curve]) -> str:
    """How far the best rates of others lie from the known network's, and what carrying its rate to them costs."""
    rows = [["carried to", "log₂ of its best rate", "octaves away", *COSTS]]
    for name, curve in others.items():
        away = statistics.fmean(optima(curve)) - statistics.fmean(optima(known))
        rows.append([name, scatter(optima(curve)), f"{away:+.1f}", *costs(curve, best(known))])
    return markdown(rows)


def scatter(values: Sequence[float]) -> str:
    """Mean and standard deviation."""
    return f"{statistics.fmean(values):.1f} ± {statistics.stdev(values):.1f}"


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """A table, its head first."""
    head, *body = rows
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *body)) + "\n"


def draw(families: Mapping[str, Family]) -> Figure:
    """Loss over the rate, a line a width, darker where it is wider, a dot at the best rate of the grid."""
    figure = Figure(figsize=(8, 2.6 * len(families)), layout="constrained")
    grid = figure.subplots(len(families), 2, sharex=True, sharey="row", squeeze=False)
    for (name, family), row in zip(families.items(), grid, strict=True):
        for axes, (parametrisation, curves) in zip(row, family.items(), strict=True):
            for number, (width, curve) in enumerate(curves.items()):
                color = str(0.8 - 0.8 * number / (len(curves) - 1))
                losses = [min(mean_loss(results), 10.0) for results in curve.values()]
                axes.plot(list(curve), losses, color=color, label=str(width))
                axes.plot(best(curve), mean_loss(curve[best(curve)]), "o", color=color)
            axes.set(title=f"{name}, {parametrisation}", yscale="log")
            axes.grid(alpha=0.25)
        row[0].set_ylabel("training loss")
        row[0].legend(title="width", frameon=False, fontsize=8)
    for axes in grid[-1]:
        axes.set_xlabel("log₂ of the learning rate")
    return figure
