"""Pick the mistakes a model was surest of, and make small pictures of them."""

import io
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from finegrain.report.record import Mistake, Predictions

THUMBNAIL_SIDE = 176
"""Longest side of a thumbnail in pixels: sharp at the size the gallery shows, small enough to embed."""


def surest_mistakes(
    predictions: Predictions,
    *,
    limit: int,
    read: Callable[[int], NDArray[np.uint8]],
    example: Callable[[int], NDArray[np.uint8] | None],
) -> tuple[Mistake, ...]:
    """The mistakes with the highest probability, surest first; ties in the order of the split.

    Args:
        predictions: Labels [N] and probabilities [N, K] of the test split.
        limit: At most this many.
        read: Image number in `predictions` → its pixels, uint8 [H, W, 3].
        example: Class index → pixels of one train image of that class, or None where there is none.
    """
    predicted = predictions.probabilities.argmax(axis=1)
    sureness = predictions.probabilities.max(axis=1)
    wrong = np.flatnonzero(predicted != predictions.labels)
    order = wrong[np.argsort(-sureness[wrong], kind="stable")][:limit]
    examples = {int(index): _thumbnail_or_none(example(int(index))) for index in np.unique(predicted[order])}
    return tuple(
        Mistake(
            path=predictions.paths[i],
            label=int(predictions.labels[i]),
            predicted=int(predicted[i]),
            probability=float(sureness[i]),
            image=thumbnail(read(int(i))),
            example=examples[int(predicted[i])],
        )
        for i in order
    )


def thumbnail(pixels: NDArray[np.uint8]) -> bytes:
    """`pixels` uint8 [H, W, 3] as a JPEG whose longest side is at most `THUMBNAIL_SIDE`; never enlarged."""
    image = Image.fromarray(pixels)
    image.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=82)
    return buffer.getvalue()


def _thumbnail_or_none(pixels: NDArray[np.uint8] | None) -> bytes | None:
    return None if pixels is None else thumbnail(pixels)
