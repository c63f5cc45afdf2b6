"""What a model looks for: its first layer's weights, how far its units see, and what its class token attends to."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from finegrain.data.base import Data
from finegrain.engine.evaluate import Predictions
from finegrain.errors import ConfigError
from finegrain.models.classifier import Classifier
from finegrain.models.first_layer import first_kernels
from finegrain.report.perception_record import Attended, Perception
from finegrain.runtime import Runtime, seed_of
from finegrain.saliency.explainer import Explainer
from finegrain.saliency.receptive import receptive_fields
from finegrain.saliency.view import PlainView, plain_view

_FEWEST, _MOST = 8, 32
"""Images that receptive fields are a mean over."""
_PIXELS = 2**19
"""Of all of them together, about: a gradient is taken in each for every stage."""
_ATTENDED, _MISTAKEN = 6, 2
"""Images whose attention is shown, and how many of them are mistakes where there are some."""


def perceive(model: Classifier, predictions: Predictions, *, data: Data, runtime: Runtime) -> Perception:
    """Look into `model` with test images drawn by lot; their labels choose and name what is shown, and judge nothing.

    Args:
        model: On its device.
        predictions: Its own of `data.test`, in its order.
        data: The splits.
        runtime: Where to compute.
    """
    lot = np.random.default_rng(seed_of("perception")).permutation(len(predictions.labels))

    def see(rows: Sequence[int] | NDArray[np.int64]) -> PlainView:
        photographs = [data.source.read(data.test[row]) for row in rows]
        return plain_view(photographs, preprocessing=model.preprocessing, runtime=runtime)

    sample = lot[: min(max(_PIXELS // model.preprocessing.image_size**2, _FEWEST), _MOST)]
    kernels, rows = first_kernels(model), draw(predictions, lot)
    found = Perception(kernels=None if kernels is None else kernels.numpy())
    try:
        fields = receptive_fields(model, see(sample).images)
        attended = _attend(model, see(rows), rows, predictions)
    except RuntimeError as error:
        # No room for gradients in pixels, or no deterministic way to take them: the report of a run is worth more.
        return replace(found, unseen=(str(error) or type(error).__name__).splitlines()[0])
    return replace(found, fields=fields, field_images=len(sample), attended=attended)


def draw(predictions: Predictions, lot: NDArray[np.int64]) -> list[int]:
    """At most 6 rows of different classes, in the order of `lot` [N]: up to 2 mistakes first, then right answers."""
    wrong = (predictions.probabilities.argmax(axis=1) != predictions.labels)[lot]
    mistakes = lot[wrong]
    first_of: dict[int, int] = {}
    for row in [*mistakes[:_MISTAKEN], *lot[~wrong], *mistakes[_MISTAKEN:]]:
        first_of.setdefault(int(predictions.labels[row]), int(row))
    return list(first_of.values())[:_ATTENDED]


def _attend(model: Classifier, view: PlainView, rows: Sequence[int], predictions: Predictions) -> tuple[Attended, ...]:
    """What the class token attends to in the images of `rows`; nothing where there is none that is classified."""
    explainer = Explainer.of(model, method="attention")
    try:
        if not explainer.reads_class_token(view.images):
            return ()
        maps = explainer.attention(view.images).float().cpu().numpy()
    except ConfigError:
        return ()
    return tuple(
        Attended(
            path=predictions.paths[row],
            label=int(predictions.labels[row]),
            predicted=int(predictions.probabilities[row].argmax()),
            probability=float(predictions.probabilities[row].max()),
            pixels=pixels,
            first=layers[0],
            last=layers[-1],
        )
        for row, pixels, layers in zip(rows, view.pixels, maps, strict=True)
    )
