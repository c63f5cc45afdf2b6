"""Whether generated images of a class differ from each other as much as real ones do."""

from dataclasses import dataclass

import numpy as np

from finegrain.errors import DataError, fault
from finegrain.metrics.feature_sets import Features, as_pair, distances, require_room
from finegrain.metrics.kernel_distance import LEAST
from finegrain.metrics.pair_means import Matrix, in_parts, percentile_interval, resampled, within
from finegrain.metrics.statistics import Interval

COLLAPSED = 0.5
"""A ratio that a class must surely be below to be called collapsed: a convention, no measured limit."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Diversity:
    """How far apart two images of a class are on average, generated ones against real ones."""

    ratio: float
    """`fake`/`real`: 1 where they are as diverse, 0 where all generated images are alike."""
    interval: Interval | None
    """95 %, for other images from the same two sources; None where nothing varies, as where all are alike."""
    real: float
    """Mean distance of two real images."""
    fake: float
    n_real: int
    n_fake: int

    @property
    def collapsed(self) -> bool:
        """Whether the whole interval, or the ratio where there is none, lies below `COLLAPSED`."""
        return (self.ratio if self.interval is None else self.interval[1]) < COLLAPSED


def diversity(real: Features, fake: Features, *, seed: int, draws: int = 1000) -> Diversity:
    """Mean pairwise Euclidean distances of generated and of real images, and their ratio with a bootstrap interval.

    A mean: of a few images over and over it sees little, ten of them give 0.9 (`memorisation` finds such duplicates),
    and images that are noise are diverse. So read it beside the kernel distance, and within one class, for
    classes that are merely apart make any set diverse. The interval is that of `pair_means`.

    Args:
        real: Features of real images of a class [N, D].
        fake: Of the generated ones by the same extractor [M, D].
        seed: Equal seeds give equal intervals.
        draws: Resampled pairs of sets.

    Raises:
        DataError: Fewer than `LEAST` images in a set, too many to hold all pairs, different numbers of features, or
            real images that are all the same.
        NumericsError: A feature that is not finite.
    """
    x, y = as_pair(real, fake, least=(LEAST, LEAST))
    require_room(x, y)
    real_pairs, fake_pairs = _apart(x), _apart(y)
    real_mean, fake_mean = (float(within(pairs, np.ones((1, len(pairs))))[0]) for pairs in (real_pairs, fake_pairs))
    if not real_mean:
        problem = fault(
            "real images that are all the same",
            got=f"one row of features {len(x)} times",
            expected="images that differ",
            remedy="look at the images, and at what the extractor makes of them",
        )
        raise DataError(problem)
    generator = np.random.default_rng(seed)

    def another(count: int) -> Matrix:
        first, second = resampled(generator, len(x), count), resampled(generator, len(y), count)
        of_real = within(real_pairs, first)
        # Draws of one real image only have no ratio; among ten or more images there is hardly ever one.
        return np.divide(within(fake_pairs, second), of_real, out=np.ones_like(of_real), where=of_real > 0)

    return Diversity(
        ratio=fake_mean / real_mean,
        interval=percentile_interval(in_parts(another, draws, len(x) + len(y)), 0.95),
        real=real_mean,
        fake=fake_mean,
        n_real=len(x),
        n_fake=len(y),
    )


def _apart(rows: Matrix) -> Matrix:
    # About the first image, so that equal images are exactly 0 apart.
    pairs = distances(rows - rows[0], rows - rows[0])
    np.fill_diagonal(pairs, 0)
    return pairs
