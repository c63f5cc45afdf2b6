"""Whether generated images are copies: of the images trained on, or of each other."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta, betabinom

from finegrain.errors import DataError, fault
from finegrain.metrics.feature_sets import Features, as_pair, blocks, distances, nearest, require_labels
from finegrain.metrics.statistics import Interval


@dataclass(frozen=True, kw_only=True, slots=True)
class Memorisation:
    """Which generated images are nearer to a train image than real images that were not trained on ever are."""

    threshold: float
    """The distance at which an image counts as a copy."""
    expected_rate: float
    """The share of new real images that the threshold takes for copies, on average: at most the quantile asked for."""
    expected_range: Interval
    """Where that share really lies, 95 %: how well this many held-out images can tell."""
    n_held_out: int
    distance: NDArray[np.float64]
    """Of each generated image to its nearest train image [M]."""
    nearest_train: NDArray[np.int64]
    """Its row [M]."""
    copies: NDArray[np.int64]
    """Rows of the generated images taken for copies, nearest first."""
    p: float
    """Of so many copies, were generated images no nearer to train than held-out ones are."""
    duplicates: NDArray[np.int64]
    """Rows of the generated images as near to an earlier one of their class; without these, one of each is left."""

    @property
    def rate(self) -> float:
        """Share of the generated images that are copies; `expected_rate` is no fault."""
        return len(self.copies) / len(self.distance)

    @property
    def duplicate_rate(self) -> float:
        """Share of the generated images that are duplicates; for it nothing is known of real images."""
        return len(self.duplicates) / len(self.distance)


def memorised(
    fake: Features,
    train: Features,
    held_out: Features,
    *,
    quantile: float = 0.01,
    labels: NDArray[np.int64] | None = None,
) -> Memorisation:
    """Compare each generated image's distance to train with those of real images that were not trained on.

    The threshold is the r-th smallest of the H held-out images' distances to train, r = ⌊quantile·(H + 1)⌋: a new real
    image is nearer with probability r/(H + 1), exactly (a conformal p value: Vovk et al., "Algorithmic Learning in a
    Random World", 2005). The share itself follows Beta(r, H + 1 − r), and the number of copies among M images like the
    held-out ones a beta-binomial distribution, which gives p.

    For a quantile of 1 % there must be 99 held-out images, and fewer are refused: they have no such quantile. With 99
    it is their smallest distance, and the true share lies between 0.03 and 3.7 %; with 999 between 0.5 and 1.7 %.
    Take no duplicates of train among the held-out images: they would hide copies.

    Args:
        fake: Features of the generated images [M, D].
        train: Of all real images that the generator was trained on [N, D], by the same extractor.
        held_out: Of real images of the same kind that it was not trained on [H, D].
        quantile: Share of the held-out images that may look like copies, in (0, 1).
        labels: Classes of the generated images [M], within which duplicates are looked for; without, among all.

    Raises:
        DataError: Too few images, different numbers of features, not one label an image, or as many copies of train
            among the held-out images as the quantile lets pass.
        NumericsError: A feature that is not finite.
        ValueError: A quantile outside (0, 1).
    """
    if not 0 < quantile < 1:
        raise ValueError(f"no quantile: {quantile}")
    y, x = as_pair(fake, train, least=(1, 1), names=("generated images", "train images"))
    least = math.ceil(1 / quantile - 1 - 1e-9)
    other, _ = as_pair(held_out, train, least=(least, 1), names=("held-out images", "train images"))
    classes = np.zeros(len(y), dtype=np.int64) if labels is None else labels
    require_labels(classes, y, "generated images")
    h = len(other)
    rank = math.floor(quantile * (h + 1) + 1e-9)
    threshold = float(np.sort(nearest(other, x)[0])[rank - 1])
    if not threshold:
        got, remedy = f"{rank} or more of {h} are the same as a train image", "hold out images that train does not have"
        raise DataError(fault("held-out images that are in train", got=got, expected="other images", remedy=remedy))
    distance, row = nearest(y, x)
    copies = np.flatnonzero(distance <= threshold)
    low, high = beta.ppf([0.025, 0.975], rank, h + 1 - rank)
    return Memorisation(
        threshold=threshold,
        expected_rate=rank / (h + 1),
        expected_range=(float(low), float(high)),
        n_held_out=h,
        distance=distance,
        nearest_train=row,
        copies=copies[np.argsort(distance[copies], kind="stable")],
        p=float(betabinom.sf(len(copies) - 1, len(y), rank, h + 1 - rank)),
        duplicates=_duplicates(y, classes, threshold),
    )


def _duplicates(rows: NDArray[np.float64], labels: NDArray[np.int64], threshold: float) -> NDArray[np.int64]:
    found = []
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        for part in blocks(len(own), len(own)):
            near = np.tril(distances(rows[own[part]], rows[own]) <= threshold, k=part.start - 1)
            found.append(own[part][near.any(axis=1)])
    return np.sort(np.concatenate(found))
