"""Two sets of images as rows of features: what every comparison of real and generated images asks of them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from finegrain.errors import DataError, NumericsError, fault

Features = NDArray[np.floating[Any]]
"""[N, D], one row an image."""


def as_rows(features: Features, name: str, *, least: int = 2) -> NDArray[np.float64]:
    """`features` in float64 [N, D], at least `least` rows.

    Args:
        features: Of one set of images [N, D].
        name: What they are called in a message, such as "real images".
        least: Fewest images of which the number can be said.

    Raises:
        DataError: Not [N, D], or fewer rows.
        NumericsError: A feature that is not finite.
    """
    rows = np.asarray(features, dtype=np.float64)
    if rows.ndim != 2 or rows.shape[1] == 0:
        problem = fault(
            f"no features of {name}",
            got=f"shape {list(rows.shape)}",
            expected="[N, D]: one row an image",
            remedy="flatten what the extractor gives of each image",
        )
        raise DataError(problem)
    if len(rows) < least:
        problem = fault(
            f"too few {name}", got=f"{len(rows)}", expected=f"at least {least}", remedy="generate or collect more"
        )
        raise DataError(problem)
    wrong = int((~np.isfinite(rows).all(axis=1)).sum())
    if wrong:
        problem = fault(
            f"features of {name} that are not finite",
            got=f"{wrong} of {len(rows)} images with NaN or infinity",
            expected="numbers",
            remedy="look for a generator that diverged, or an extractor in too low a precision",
        )
        raise NumericsError(problem)
    return rows


def as_pair(
    real: Features, fake: Features, *, least: int = 2, names: tuple[str, str] = ("real images", "generated images")
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both sets by `as_rows`, of the same extractor as far as the number of features tells.

    Raises:
        DataError: As `as_rows`, or other features of the one than of the other.
        NumericsError: A feature that is not finite.
    """
    first, second = as_rows(real, names[0], least=least), as_rows(fake, names[1], least=least)
    if first.shape[1] != second.shape[1]:
        problem = fault(
            f"{names[0]} and {names[1]} by different extractors",
            got=f"{first.shape[1]} and {second.shape[1]} features an image",
            expected="the same number",
            remedy="compute both with one network",
        )
        raise DataError(problem)
    return first, second
