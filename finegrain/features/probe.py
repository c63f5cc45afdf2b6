"""A linear probe: the head that suits the features of a frozen backbone, to start fine-tuning from."""

import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from tqdm import tqdm

from finegrain.data.base import Sample
from finegrain.data.carve import carve

logger = logging.getLogger(__name__)

STRENGTHS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
"""What C, the inverse strength of the L2 penalty, is chosen from, for features of unit variance."""
_HELD_OUT = 0.2
_MAX_ITERATIONS = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class Probe:
    """A linear head on raw features."""

    weight: NDArray[np.float64]
    """[K, D]."""
    bias: NDArray[np.float64]
    """[K]."""
    strength: float
    """The C it was fitted with."""


def fit_probe(features: NDArray[np.float32], samples: Sequence[Sample], *, seed: int) -> Probe:
    """Fit multinomial logistic regression on standardised features; its C is the best on a fifth held out.

    Args:
        features: [N, D], one row a sample.
        samples: N train samples, of every class at least one; groups stay together.
        seed: Of what is held out.
    """
    mean, scale = features.mean(axis=0), features.std(axis=0) + 1e-6
    rows = (features - mean) / scale
    labels = np.array([sample.label for sample in samples])
    strength = _choose(rows, labels, samples, seed)
    weight, bias = _fit(LogisticRegression(C=strength, max_iter=_MAX_ITERATIONS), rows, labels)
    weight = weight / scale
    return Probe(weight=weight, bias=bias - weight @ mean, strength=strength)


def _choose(rows: NDArray[np.float32], labels: NDArray[np.int64], samples: Sequence[Sample], seed: int) -> float:
    """The C of the smallest log-loss on held-out samples; of the middle where nothing can be held out."""
    taken = {sample.path for sample in carve(samples, fraction=_HELD_OUT, seed=seed).taken}
    held_out = np.array([sample.path in taken for sample in samples])
    classes = int(labels.max()) + 1
    if not held_out.any():
        return STRENGTHS[len(STRENGTHS) // 2]
    losses: dict[float, float] = {}
    path = LogisticRegression(max_iter=_MAX_ITERATIONS, warm_start=True)  # each fit starts from the one before
    for strength in tqdm(STRENGTHS, desc="linear probe", leave=False, disable=None):
        weight, bias = _fit(path.set_params(C=strength), rows[~held_out], labels[~held_out])
        probabilities = softmax(rows[held_out] @ weight.T + bias, axis=1)
        losses[strength] = float(log_loss(labels[held_out], probabilities, labels=np.arange(classes)))
        if losses[strength] > min(losses.values()):
            break  # beyond the best, the loss only rises
    best = min(losses, key=losses.__getitem__)
    logger.info("linear probe: C = %g, log-loss %.4f on %d held-out images", best, losses[best], held_out.sum())
    return best


def _fit(
    model: LogisticRegression, rows: NDArray[np.float32], labels: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    with warnings.catch_warnings():  # a start for fine-tuning may be a little short of the optimum
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(rows, labels)
    if len(model.classes_) > 2:
        return model.coef_, model.intercept_
    # Of two classes scikit-learn keeps one row: the second against the first.
    weight, bias = model.coef_ / 2, model.intercept_ / 2
    return np.concatenate([-weight, weight]), np.concatenate([-bias, bias])
