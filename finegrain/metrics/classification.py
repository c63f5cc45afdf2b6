"""Every figure that predictions on one split are worth."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata
from sklearn import metrics as sk

from finegrain.metrics.calibration import brier, ece
from finegrain.metrics.intervals import wilson
from finegrain.metrics.probabilities import checked_probabilities

HEADLINE = (
    "n", "loss", "top1", "top1_interval", "top5", "mean_per_class",
    "macro_precision", "macro_recall", "macro_f1", "auroc",
)  # fmt: skip
"""The fields that sum a split up, in the order they are written."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PerClass:
    """The figures of one class."""

    index: int
    n: int
    """Images of the class."""
    precision: float
    """0 where nothing was predicted as this class."""
    recall: float
    """0 where the class has no image; then its interval is (0, 1)."""
    f1: float
    auroc: float | None
    """One against the rest; None where either side is empty."""
    recall_interval: tuple[float, float]
    """Wilson, 95 %."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ClassificationMetrics:
    """The figures of one split; all shares are fractions in [0, 1]."""

    n: int
    """Number of images."""
    loss: float
    """Mean log-loss in nats, with neither class weights nor smoothing."""
    top1: float
    top1_interval: tuple[float, float]
    """Wilson, 95 %: the uncertainty of a test set of this size, not of training."""
    top5: float
    """Share with the true class among the min(5, K) most probable."""
    mean_per_class: float
    """Mean recall over the classes that have images."""
    macro_precision: float
    """Unweighted mean over the classes that occur as label or prediction, as macro_recall and macro_f1."""
    macro_recall: float
    macro_f1: float
    auroc: float | None
    """Mean one-vs-rest over the classes where it is defined; None where it is for none."""
    ece: float
    """See `calibration.ece`."""
    brier: float
    """See `calibration.brier`."""
    per_class: tuple[PerClass, ...]
    confusion: NDArray[np.int64]
    """Counts [K, K], a row for each true class."""

    def as_dict(self) -> dict[str, Any]:
        """The headline figures as plain JSON."""
        values = {name: getattr(self, name) for name in HEADLINE}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def evaluate_predictions(labels: NDArray[np.int64], probabilities: NDArray[np.floating[Any]]) -> ClassificationMetrics:
    """Judge the predictions on one split.

    Args:
        labels: True class indices [N].
        probabilities: [N, K], rows summing to 1; equal ones rank by class index.

    Raises:
        DataError: No image, or a label outside [0, K).
        NumericsError: A probability that is not finite.
    """
    probabilities = checked_probabilities(labels, probabilities)
    n, k = probabilities.shape
    ranked = np.argsort(-probabilities, axis=1, kind="stable")[:, : min(5, k)]
    predicted = ranked[:, 0]
    correct = int((predicted == labels).sum())
    per_class = _per_class(labels, predicted, probabilities)
    aurocs = [row.auroc for row in per_class if row.auroc is not None]
    precision, recall, f1, _ = sk.precision_recall_fscore_support(labels, predicted, average="macro", zero_division=0)
    return ClassificationMetrics(
        n=n,
        loss=float(sk.log_loss(labels, probabilities, labels=np.arange(k))),
        top1=correct / n,
        top1_interval=wilson(correct, n),
        top5=float((ranked == labels[:, None]).any(axis=1).mean()),
        mean_per_class=float(np.mean([row.recall for row in per_class if row.n])),
        macro_precision=float(precision),
        macro_recall=float(recall),
        macro_f1=float(f1),
        auroc=float(np.mean(aurocs)) if aurocs else None,
        ece=ece(labels, probabilities),
        brier=brier(labels, probabilities),
        per_class=per_class,
        confusion=sk.confusion_matrix(labels, predicted, labels=np.arange(k)),
    )


def _per_class(
    labels: NDArray[np.int64], predicted: NDArray[np.int64], probabilities: NDArray[np.float64]
) -> tuple[PerClass, ...]:
    classes = np.arange(probabilities.shape[1])
    precision, recall, f1, counts = sk.precision_recall_fscore_support(
        labels, predicted, labels=classes, average=None, zero_division=0
    )
    hits = np.bincount(labels[predicted == labels], minlength=len(classes))
    aurocs = _aurocs(labels, probabilities)
    return tuple(
        PerClass(
            index=int(c),
            n=int(counts[c]),
            precision=float(precision[c]),
            recall=float(recall[c]),
            f1=float(f1[c]),
            auroc=aurocs[c],
            recall_interval=wilson(int(hits[c]), int(counts[c])),
        )
        for c in classes
    )


def _aurocs(labels: NDArray[np.int64], probabilities: NDArray[np.float64]) -> list[float | None]:
    """Of each class against the rest [K]; None where all images are of it, or none.

    From ranks, ties sharing theirs (Mann & Whitney, Annals of Mathematical Statistics 1947): all classes at once, where
    a curve for each takes fifty times as long.
    """
    n, k = probabilities.shape
    counts = np.bincount(labels, minlength=k)
    own = rankdata(probabilities, axis=0)[np.arange(n), labels]
    above = np.bincount(labels, weights=own, minlength=k) - counts * (counts + 1) / 2
    pairs = counts * (n - counts)
    return [float(above[c] / pairs[c]) if pairs[c] else None for c in range(k)]
