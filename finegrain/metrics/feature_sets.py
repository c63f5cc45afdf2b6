"""Two sets of images as rows of features: what every comparison of real and generated images asks of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finegrain.errors import DataError, NumericsError, fault

Features = NDArray[np.floating[Any]]
"""[N, D], one row an image."""
BLOCK = 2**22
"""Values of pairs held at once, 32 MB, whatever the number of images."""
MOST = 2**14
"""Images of both sets of which every pair is held at once: 2 GB, at first twice that."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Extractor:
    """The network that the features are of: scores by different ones have no common scale."""

    name: str
    sha256: str
    """Of its weights."""

    def require_same(self, other: "Extractor") -> None:
        """Refuse another extractor with a DataError, even one of the same name with other weights."""
        if self != other:
            problem = fault(
                "scores by different extractors cannot be compared",
                got=f"{self.name} ({self.sha256[:12]}) and {other.name} ({other.sha256[:12]})",
                expected="one network with the same weights",
                remedy="compute both scores again with one of them",
            )
            raise DataError(problem)


def as_rows(features: Features, name: str, *, least: int) -> NDArray[np.float64]:
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
    real: Features,
    fake: Features,
    *,
    least: tuple[int, int],
    names: tuple[str, str] = ("real images", "generated images"),
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both sets by `as_rows`, of the same extractor as far as the number of features tells.

    Raises:
        DataError: As `as_rows`, or other features of the one than of the other.
        NumericsError: A feature that is not finite.
    """
    first, second = as_rows(real, names[0], least=least[0]), as_rows(fake, names[1], least=least[1])
    if first.shape[1] != second.shape[1]:
        problem = fault(
            f"{names[0]} and {names[1]} by different extractors",
            got=f"{first.shape[1]} and {second.shape[1]} features an image",
            expected="the same number",
            remedy="compute both with one network",
        )
        raise DataError(problem)
    return first, second


def require_labels(labels: NDArray[np.int64], features: Features, name: str) -> None:
    """Refuse with a DataError labels that are not [N], one of each row; `name` is what the images are called."""
    if labels.shape != (len(features),):
        got, remedy = f"{list(labels.shape)} labels of {len(features)} images", "give every image one class"
        raise DataError(fault(f"labels of other {name}", got=got, expected="one each", remedy=remedy))


def require_room(first: Features, second: Features) -> None:
    """Refuse with a DataError more than `MOST` images, where a method holds every pair of them."""
    n = len(first) + len(second)
    if n > MOST:
        remedy = "take a random part of both sets"
        raise DataError(
            fault("too many images to hold every pair", got=f"{n}", expected=f"at most {MOST}", remedy=remedy)
        )


def distances(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Euclidean, of every pair of rows: [N, D] and [M, D] to [N, M]; of equal rows 0 up to rounding."""
    squares = first @ second.T
    squares *= -2
    squares += np.einsum("nd,nd->n", first, first)[:, None]
    squares += np.einsum("nd,nd->n", second, second)
    return np.sqrt(np.maximum(squares, 0, out=squares), out=squares)


def blocks(rows: int, columns: int) -> Iterator[slice]:
    """Slices of the rows of a [rows, columns] matrix with at most `BLOCK` values each, one row at least."""
    step = max(1, BLOCK // max(1, columns))
    return (slice(at, at + step) for at in range(0, rows, step))


def nearest(rows: NDArray[np.float64], others: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Of each row the distance to the nearest of the others [N], exactly 0 to its copy, and which that is [N]."""
    index = np.concatenate([distances(rows[part], others).argmin(axis=1) for part in blocks(len(rows), len(others))])
    return np.concatenate(
        [np.linalg.norm(rows[part] - others[index[part]], axis=1) for part in blocks(len(rows), rows.shape[1])]
    ), index
