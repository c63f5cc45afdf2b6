"""A number of each class's real and generated images, or the words why there is none."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from finegrain.metrics.comparison import holm
from finegrain.metrics.diversity import Diversity, diversity
from finegrain.metrics.feature_sets import Extractor, Features, require_labels
from finegrain.metrics.kernel_distance import LEAST, KernelDistance, kernel_distance

Result = TypeVar("Result")
Labels = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, slots=True)
class OfClass(Generic[Result]):
    """One row of a table."""

    label: int
    n_real: int
    n_fake: int
    result: Result | None
    remark: str
    """Why there is no result; else empty."""


@dataclass(frozen=True, kw_only=True, slots=True)
class KernelDistances:
    """Kernel distances of all images and of each class: all may look right while classes are mixed up."""

    overall: KernelDistance
    classes: tuple[OfClass[KernelDistance], ...]
    adjusted_p: tuple[float | None, ...]
    """Of the classes, by Holm for being looked at together; None without a result."""


def kernel_distances(
    real: Features, fake: Features, real_labels: Labels, fake_labels: Labels, *, extractor: Extractor, seed: int,
    permutations: int = 999, draws: int = 1000,
) -> KernelDistances:  # fmt: skip
    """`kernel_distance` of all images and of each class.

    With few permutations for many classes no adjusted p can be small: it is at least classes/(1 + permutations).

    Args:
        real: Features of the real images [N, D].
        fake: Of the generated ones [M, D].
        real_labels: Classes of the real ones [N].
        fake_labels: Classes that the others were generated for [M].
        extractor: What the features are of.
        seed: Equal seeds give equal results.
        permutations: As in `kernel_distance`, and `draws` too.
        draws: See there.

    Raises:
        DataError: As `kernel_distance`, or not one label an image.
        NumericsError: A feature that is not finite.
    """

    def judge(x: Features, y: Features) -> KernelDistance:
        return kernel_distance(x, y, extractor=extractor, seed=seed, permutations=permutations, draws=draws)

    classes = table(judge, real, fake, real_labels, fake_labels)
    return KernelDistances(
        overall=judge(real, fake),
        classes=classes,
        adjusted_p=holm([None if row.result is None else row.result.p for row in classes]),
    )


def diversities(
    real: Features, fake: Features, real_labels: Labels, fake_labels: Labels, *, seed: int, draws: int = 1000
) -> tuple[OfClass[Diversity], ...]:
    """`diversity` of each class; arguments and errors as of `kernel_distances`."""
    return table(lambda x, y: diversity(x, y, seed=seed, draws=draws), real, fake, real_labels, fake_labels)


def table(
    judge: Callable[[Features, Features], Result],
    real: Features, fake: Features, real_labels: Labels, fake_labels: Labels,
) -> tuple[OfClass[Result], ...]:  # fmt: skip
    """What `judge` says of each class that either set has, in order of the labels; too few images get a remark.

    Raises:
        DataError: Not one label an image.
    """
    require_labels(real_labels, real, "real images")
    require_labels(fake_labels, fake, "generated images")

    def row(label: Any) -> OfClass[Result]:
        x, y = real[real_labels == label], fake[fake_labels == label]
        few = [f"{len(z)} {name}" for z, name in ((x, "real"), (y, "generated")) if len(z) < LEAST]
        return OfClass(
            label=int(label),
            n_real=len(x),
            n_fake=len(y),
            result=None if few else judge(x, y),
            remark=f"too few images: {' and '.join(few)}, at least {LEAST} needed" if few else "",
        )

    return tuple(row(label) for label in np.union1d(real_labels, fake_labels))
