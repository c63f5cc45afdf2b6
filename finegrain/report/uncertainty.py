"""The intervals of a repeated evaluation in words: what each is of, or why there is none."""

from dataclasses import dataclass

from finegrain.metrics.repeated import FEW_SEEDS, RepeatedMetrics
from finegrain.metrics.statistics import Interval


@dataclass(frozen=True, kw_only=True, slots=True)
class Uncertainty:
    """One interval of the mean top-1 accuracy, 95 %."""

    of: str
    """What might have been otherwise."""
    interval: Interval | None
    explanation: str
    """How it was computed; where there is none, why."""


def uncertainties(metrics: RepeatedMetrics, *, seeds: int, folds: int) -> tuple[Uncertainty, Uncertainty, Uncertainty]:
    """Of training, of the images, and of both.

    Args:
        metrics: The figures.
        seeds: How many seeds there were.
        folds: How many folds; 1 where every seed was judged on one test split.
    """
    return (
        Uncertainty(
            of="another training",
            interval=within(metrics.top1.of_training),
            explanation=_of_training(metrics, folds),
        ),
        Uncertainty(
            of="other images",
            interval=within(metrics.of_images),
            explanation=_of_images(metrics),
        ),
        Uncertainty(
            of="other seeds and images",
            interval=within(metrics.of_both),
            explanation=_of_both(metrics, seeds),
        ),
    )


def within(interval: Interval | None, highest: float = 1.0) -> Interval | None:
    """The part of an interval that is possible: its ends in [0, highest]."""
    return None if interval is None else (max(interval[0], 0.0), min(interval[1], highest))


def _of_training(metrics: RepeatedMetrics, folds: int) -> str:
    cells = metrics.top1.spread.n
    if metrics.top1.of_training is not None and folds == 1:
        return "other seeds, judged on the same images: Student’s t-interval"
    if metrics.top1.of_training is not None:
        return (
            "other seeds, folds and images to train on: corrected t-interval (Nadeau & Bengio 2003), a heuristic; "
            "it also counts that folds hold different images, and so may be the widest"
        )
    if cells == 1:
        return "no interval: one training says nothing of how another would differ"
    return f"no interval: all {cells} trainings scored the same, so nothing shows how another would differ"


def _of_images(metrics: RepeatedMetrics) -> str:
    if metrics.of_images is not None:
        return "these trainings, judged on as many other images of each class: stratified bootstrap"
    if metrics.images == 1:
        return "no interval: one image says nothing of how another would fare"
    return "no interval: all images of a class were recognised equally often, so nothing shows how others would fare"


def _of_both(metrics: RepeatedMetrics, seeds: int) -> str:
    if metrics.of_both is not None:
        method = "runs crossed with images, in closed form" if seeds < FEW_SEEDS else "hierarchical bootstrap"
        return f"other seeds, judged on other images: {method}"
    if seeds == 1:
        return "no interval: one seed says nothing of how another would differ"
    return "no interval: neither seeds nor images of a class differ, so nothing shows how others would"
