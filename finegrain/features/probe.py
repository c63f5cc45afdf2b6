"""A linear probe: the head that suits the features of a frozen backbone, to start fine-tuning from."""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from finegrain.data.base import Sample
from finegrain.data.carve import carve
from finegrain.features.logistic import LogisticGrid, LogisticSetting
from finegrain.features.solver import Trained

logger = logging.getLogger(__name__)

STRENGTHS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
"""What C, the inverse strength of the L2 penalty, is chosen from, for features of unit variance."""
_MIDDLE = STRENGTHS[len(STRENGTHS) // 2]
_HELD_OUT = 0.2
_TOLERANCE = 3e-5
"""A start for fine-tuning may be a little short of the optimum."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Probe:
    """A linear head on raw features."""

    weight: NDArray[np.float32]
    """[K, D]."""
    bias: NDArray[np.float32]
    """[K]."""
    strength: float
    """The C it was fitted with."""


def fit_probe(features: NDArray[np.float32], samples: Sequence[Sample], *, seed: int) -> Probe:
    """Fit multinomial logistic regression on standardised features; its C is the best on a fifth held out.

    Args:
        features: [N, D], one row a sample.
        samples: N train samples, of every class at least one; groups stay together.
        seed: Of what is held out.

    Raises:
        DataError: A feature is not finite.
    """
    rows, labels = torch.from_numpy(features), torch.tensor([sample.label for sample in samples])
    held_out = held_out_fifth(samples, seed=seed)
    # Where nothing can be held out, the strength of the middle is as good a guess as any.
    strength = choose_head(rows, labels, held_out).setting.strength if held_out.any() else _MIDDLE
    logger.info("linear probe: C = %g, chosen on %d held-out images", strength, int(held_out.sum()))
    everything = torch.ones(1, len(labels), dtype=torch.bool)
    (fitted,) = LogisticGrid(strengths=(strength,), tolerance=_TOLERANCE).fit(
        rows, labels, train=everything, num_classes=int(labels.max()) + 1
    )
    weight, bias = fitted.head.parameters()
    return Probe(weight=weight.numpy(), bias=bias.numpy(), strength=strength)


def held_out_fifth(samples: Sequence[Sample], *, seed: int) -> Tensor:
    """Which of N samples to choose a head by, bool [N]: stratified, whole groups; none where classes are too small."""
    taken = {sample.path for sample in carve(samples, fraction=_HELD_OUT, seed=seed).taken}
    return torch.tensor([sample.path in taken for sample in samples])


def choose_head(rows: Tensor, labels: Tensor, held_out: Tensor) -> Trained[LogisticSetting]:
    """The linear head, of those for all strengths, with the smallest log-loss on rows that it was not fitted on.

    Args:
        rows: Features, float32 [N, D]; raw.
        labels: int64 [N].
        held_out: bool [N], with a true and a false; every class has a row that is not held out.

    Raises:
        DataError: A feature is not finite.
    """
    best: Trained[LogisticSetting] | None = None
    least = math.inf
    path = LogisticGrid(strengths=STRENGTHS, tolerance=_TOLERANCE).fit(
        rows, labels, train=~held_out[None], num_classes=int(labels.max()) + 1
    )
    for fitted in tqdm(path, desc="linear probe", total=len(STRENGTHS), leave=False, disable=None):
        loss = float(F.cross_entropy(fitted.head(rows[held_out]), labels[held_out]))
        if loss > least:
            break  # beyond the best, the loss only rises
        best, least = fitted, loss
    assert best is not None
    return best
