"""What many trainings of one recipe, each judged on images it did not see, say together."""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from finegrain.errors import DataError, fault
from finegrain.metrics.classification import ClassificationMetrics, evaluate_predictions
from finegrain.metrics.crossed import crossed_interval
from finegrain.metrics.intervals import wilson
from finegrain.metrics.label_errors import suspected_labels
from finegrain.metrics.mistakes import Mistake
from finegrain.metrics.selection import risk_coverage
from finegrain.metrics.statistics import (
    Interval,
    Spread,
    bootstrap_interval,
    corrected_t_interval,
    hierarchical_bootstrap,
    spread,
)

FEW_SEEDS = 10
"""With fewer the hierarchical bootstrap is too narrow, and the closed form for crossed samples takes its place."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Judged:
    """What one training said of the images held out from it."""

    seed: int
    fold: int
    trained_images: int
    paths: tuple[str, ...]
    labels: NDArray[np.int64]
    """True class indices [n]."""
    probabilities: NDArray[np.float64]
    """[n, K], rows summing to 1."""

    @property
    def hits(self) -> NDArray[np.bool_]:
        """Whether each image was recognised [n]."""
        right: NDArray[np.bool_] = self.probabilities.argmax(1) == self.labels
        return right


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """One figure over all cells."""

    spread: Spread
    of_training: Interval | None
    """95 % for the mean, over other trainings and folds; a heuristic. None for one cell, or where all are equal."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassScore:
    """The recall of one class."""

    index: int
    n: int
    """Images of the class that were judged."""
    recall: float
    """Mean over the seeds."""
    spread: Spread | None
    """Of the recalls in the cells that judged an image of the class; None where none did."""
    interval: Interval
    """Wilson, 95 %, for n images recognised at this rate."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Confusion:
    """Two classes, one taken for the other."""

    label: int
    predicted: int
    count: int
    """In all cells together."""
    cells: int
    """In how many of them at least once."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class RepeatedMetrics:
    """The figures of a repeated evaluation."""

    cells: tuple[ClassificationMetrics, ...]
    """Of each cell, in the order they were given."""
    images: int
    """Different images that were judged."""
    top1: Score
    top5: Score
    macro_f1: Score
    auroc: Score | None
    """None where a cell has none."""
    loss: Score
    ece: Score
    brier: Score
    risk: tuple[float, ...]
    """Share of wrong answers where only each cell's surest are given, at `selection.COVERAGES`; mean over the cells."""
    of_images: Interval | None
    """95 % for mean top-1, over other test images with these trainings: stratified bootstrap."""
    of_both: Interval | None
    """95 % for mean top-1, over other seeds and other images; None for one seed, or where nothing varies."""
    per_class: tuple[ClassScore, ...]
    confusion: NDArray[np.int64]
    """Counts of all cells together [K, K], a row for each true class."""
    confused: tuple[Confusion, ...]
    """Every pair that occurs, those in most cells first."""
    suspects: tuple[Mistake, ...]
    """Images whose label is suspected to be wrong, by the mean probabilities over the seeds, most suspect first."""


def summarise(judged: Sequence[Judged], *, num_classes: int, draws: int = 10_000) -> RepeatedMetrics:
    """Put the cells together.

    Args:
        judged: The cells; each seed has judged the same images, each of them once.
        num_classes: K.
        draws: Resampled experiments of each bootstrap.

    Raises:
        DataError: There are no cells, or the seeds have not judged the same images.
        NumericsError: A probability that is not finite.
    """
    cells = tuple(evaluate_predictions(cell.labels, cell.probabilities) for cell in judged)
    hits, labels = hit_matrix(judged)
    ratio = judged_ratio(judged)

    def score(read: Callable[[ClassificationMetrics], float]) -> Score:
        values = np.array([read(cell) for cell in cells])
        return Score(spread=spread(values), of_training=corrected_t_interval(values, test_ratio=ratio))

    has_auroc = all(cell.auroc is not None for cell in cells)
    return RepeatedMetrics(
        cells=cells,
        images=len(labels),
        top1=score(lambda cell: cell.top1),
        top5=score(lambda cell: cell.top5),
        macro_f1=score(lambda cell: cell.macro_f1),
        auroc=score(lambda cell: cell.auroc or 0.0) if has_auroc else None,
        loss=score(lambda cell: cell.loss),
        ece=score(lambda cell: cell.ece),
        brier=score(lambda cell: cell.brier),
        risk=_mean_risk(judged),
        of_images=bootstrap_interval(hits.mean(0), labels, draws=draws),
        of_both=_of_both(hits, labels, draws),
        per_class=_per_class(cells, hits, labels, num_classes),
        confusion=np.sum([cell.confusion for cell in cells], axis=0),
        confused=_confused([cell.confusion for cell in cells]),
        suspects=_suspects(judged),
    )


def hit_matrix(judged: Sequence[Judged]) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Whether each image was recognised with each seed [R, N], and the labels [N]; images in the order of their paths.

    Raises:
        DataError: The seeds have not judged the same images, each once.
    """
    by_seed: dict[int, dict[str, tuple[bool, int]]] = defaultdict(dict)
    total = Counter[int]()
    for cell in judged:
        rows = zip(cell.paths, cell.hits.tolist(), cell.labels.tolist(), strict=True)
        by_seed[cell.seed].update({path: (hit, label) for path, hit, label in rows})
        total[cell.seed] += len(cell.paths)
    seeds = list(by_seed.values())
    paths = sorted(seeds[0]) if seeds else []
    if not paths or any(sorted(rows) != paths for rows in seeds) or set(total.values()) != {len(paths)}:
        raise DataError(
            fault(
                "the seeds have not judged the same images",
                got=f"{sorted(set(total.values()))} images a seed",
                expected="each image once for every seed",
                remedy="finish the evaluation first",
            )
        )
    hits = np.array([[rows[path][0] for path in paths] for rows in seeds])
    return hits, np.array([seeds[0][path][1] for path in paths])


def judged_ratio(judged: Sequence[Judged]) -> float:
    """Images judged over images trained on, n_test / n_train, on average over cells; 0 where all judge the same ones.

    Cells of one seed each that judge one test split are independent trainings: the correction is for folds.
    """
    if len({cell.paths for cell in judged}) == 1:
        return 0.0
    return float(np.mean([len(cell.paths) / cell.trained_images for cell in judged]))


def _mean_risk(judged: Sequence[Judged]) -> tuple[float, ...]:
    """Each cell's own curve first: confidences of different models have no common order."""
    curves = [risk_coverage(cell.probabilities.max(1), cell.hits).read_off() for cell in judged]
    return tuple(np.mean(curves, axis=0).tolist())


def _suspects(judged: Sequence[Judged]) -> tuple[Mistake, ...]:
    """Of what all models that were not trained on an image say of it together; images in the order of their paths."""
    paths = np.concatenate([cell.paths for cell in judged])
    labels = np.concatenate([cell.labels for cell in judged])
    images, first, places, times = np.unique(paths, return_index=True, return_inverse=True, return_counts=True)
    mean = np.zeros((len(images), judged[0].probabilities.shape[1]))
    for cell, rows in zip(judged, np.split(places, np.cumsum([len(cell.paths) for cell in judged])[:-1]), strict=True):
        mean[rows] += cell.probabilities / times[rows, None]
    return suspected_labels(images.tolist(), labels[first], mean)


def _of_both(hits: NDArray[np.bool_], labels: NDArray[np.int64], draws: int) -> Interval | None:
    if len(hits) < FEW_SEEDS:
        return crossed_interval(hits, labels)
    return hierarchical_bootstrap(hits, labels, draws=draws)


def _per_class(
    cells: Sequence[ClassificationMetrics], hits: NDArray[np.bool_], labels: NDArray[np.int64], num_classes: int
) -> tuple[ClassScore, ...]:
    rates = hits.mean(0)
    found = []
    for index in range(num_classes):
        of_class = rates[labels == index]
        n, right = len(of_class), float(of_class.sum())
        recall = right / n if n else 0.0
        recalls = np.array([row.recall for row in (cell.per_class[index] for cell in cells) if row.n])
        found.append(
            ClassScore(
                index=index,
                n=n,
                recall=recall,
                spread=spread(recalls) if n else None,
                interval=wilson(round(right), n),
            )
        )
    return tuple(found)


def _confused(matrices: Sequence[NDArray[np.int64]]) -> tuple[Confusion, ...]:
    counts, cells = np.sum(matrices, axis=0), np.sum([matrix > 0 for matrix in matrices], axis=0)
    pairs = [
        Confusion(label=int(i), predicted=int(j), count=int(counts[i, j]), cells=int(cells[i, j]))
        for i, j in np.argwhere(counts)
        if i != j
    ]
    return tuple(sorted(pairs, key=lambda pair: (-pair.cells, -pair.count, pair.label, pair.predicted)))
