"""What a model's errors look like: the surest beside their nearest neighbours, the ends of every class, a map."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from finegrain.data.base import Data, Sample, Source
from finegrain.engine.evaluate import Predictions
from finegrain.errors import ConfigError
from finegrain.features.cache import FeatureCache
from finegrain.features.embedding import embed
from finegrain.features.extract import extract
from finegrain.features.inference import frozen_once
from finegrain.features.neighbours import Neighbour, nearest
from finegrain.metrics.mistakes import Mistake, class_extremes, surest_mistakes
from finegrain.models.classifier import Classifier
from finegrain.report.gallery import STAMP_SIDE, THUMBNAIL_SIDE, thumbnail
from finegrain.report.heat import overlay
from finegrain.report.record import ErrorAnalysis, FeatureMap, Likeness, Shown
from finegrain.runtime import Runtime, seed_of
from finegrain.saliency.explainer import Explainer
from finegrain.saliency.view import plain_view

SHOWN_MISTAKES = 24
MOST_MAPPED = 1000
"""Images on the map; of a larger split a random sample. Time grows with their number."""
_STAMPS = 240
"""About how many images each end of the classes has together: bounds what the page weighs."""
_MOST_EACH = 3
"""Images at one end of a class."""
_EXPLAINED_AT_ONCE = 8
"""Mistakes in one batch: bounds the memory."""

See = Callable[[Sequence[Sample]], Tensor]
"""Images → their features [N, D]."""

Explain = Callable[[Sequence[Mistake], Sequence[NDArray[np.uint8]]], Sequence[NDArray[np.uint8]]]
"""Mistakes and their photographs, uint8 [H, W, 3] → what speaks for the class predicted, drawn, uint8 [S, S, 3]."""


def features_by(model: Classifier, *, source: Source, runtime: Runtime, cache: FeatureCache) -> See:
    """What the head of `model` reads, through the cache; never compiled, so that a rerun gives the same."""
    read = partial(
        extract,
        source=source,
        classifier=model,
        runtime=replace(runtime, compile="never"),
        cache=cache,
        build=frozen_once(model),
        title="features to compare",
    )
    return lambda samples: read(samples).values


def maps_by(model: Classifier, *, runtime: Runtime) -> Explain:
    """What in the plain view speaks to `model` for the class predicted rather than for the true one, by HiResCAM.

    Raises, when called:
        ConfigError: The architecture cannot be explained so.
    """
    explainer = Explainer.of(model, method="hirescam")

    def explain(mistakes: Sequence[Mistake], photographs: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.uint8]]:
        view = plain_view(photographs, preprocessing=model.preprocessing, runtime=runtime)
        logits = torch.eye(model.num_classes, device=view.images.device)
        predicted, label = ([getattr(mistake, name) for mistake in mistakes] for name in ("predicted", "label"))
        return list(map(overlay, view.pixels, explainer.maps(view.images, logits[predicted] - logits[label])))

    return explain


def analyse(predictions: Predictions, *, data: Data, see: See, explain: Explain) -> ErrorAnalysis:
    """Choose, compare and picture what the page of a run shows of its errors.

    This is no second look at test: what is shown follows from the predictions that were counted, and the features of
    test images, which are new, know no labels.

    Args:
        predictions: Of `data.test`, in its order.
        data: The splits; neighbours are train images.
        see: By the model that predicted.
        explain: By the same.
    """
    said = predictions.labels, predictions.probabilities
    mistakes = surest_mistakes(predictions.paths, *said, limit=SHOWN_MISTAKES)
    classes = len(data.class_names)
    extremes = class_extremes(*said, each=min(max(_STAMPS // classes, 1), _MOST_EACH), limit=_STAMPS)
    stamped = sorted({row for ends in extremes for row in (*ends.hardest, *ends.easiest)})
    stamps = _pictures([data.test[row] for row in stamped], data.source, STAMP_SIDE)
    shown = show(mistakes, images=data.test, pool=data.train, source=data.source, see=see)
    heats, unexplained = _heats(mistakes, data, explain)
    return ErrorAnalysis(
        mistakes=[replace(one, heat=heat) for one, heat in zip(shown, heats, strict=True)],
        unexplained=unexplained,
        extremes=extremes,
        stamps={row: stamps[data.test[row].path] for row in stamped},
        feature_map=_feature_map(data.test, see),
    )


def show(
    mistakes: Sequence[Mistake],
    *,
    images: Iterable[Sample],
    pool: Sequence[Sample],
    source: Source,
    see: See | None,
) -> tuple[Shown, ...]:
    """Mistakes with their pictures, beside the most similar images of both classes.

    Args:
        mistakes: Images with two classes each.
        images: Those the mistakes are among.
        pool: Where to look for similar ones.
        source: Reads their pixels.
        see: None: no features are worth comparing, and nothing stands beside.
    """
    by_path = {sample.path: sample for sample in images}
    chosen = [by_path[mistake.path] for mistake in mistakes]
    asked = [
        (sample, label)
        for sample, mistake in zip(chosen, mistakes, strict=True)
        for label in (mistake.predicted, mistake.label)
    ]
    found = nearest(asked, pool, see=see) if see else [None] * len(asked)
    pictures = _pictures([*chosen, *(near.sample for near in found if near)], source, THUMBNAIL_SIDE)

    def likeness(near: Neighbour | None) -> Likeness | None:
        if near is None:
            return None
        path = near.sample.path
        return Likeness(path=path, image=pictures[path], cosine=near.cosine, among=near.among)

    return tuple(
        Shown(
            mistake=mistake,
            image=pictures[mistake.path],
            like_predicted=likeness(like_predicted),
            like_label=likeness(like_label),
        )
        for mistake, like_predicted, like_label in zip(mistakes, found[::2], found[1::2], strict=True)
    )


def _heats(mistakes: Sequence[Mistake], data: Data, explain: Explain) -> tuple[Sequence[bytes | None], str]:
    """A small picture of the map of each mistake; or none of any, and why."""
    samples = {sample.path: sample for sample in data.test}
    heats: list[bytes | None] = []
    try:
        for start in tqdm(range(0, len(mistakes), _EXPLAINED_AT_ONCE), desc="maps", leave=False, disable=None):
            batch = mistakes[start : start + _EXPLAINED_AT_ONCE]
            drawn = explain(batch, [data.source.read(samples[mistake.path]) for mistake in batch])
            heats += map(thumbnail, drawn)
    except ConfigError as error:
        return [None] * len(mistakes), str(error)
    return heats, ""


def _pictures(samples: Sequence[Sample], source: Source, side: int) -> dict[str, bytes]:
    different = {sample.path: sample for sample in samples}
    bar = tqdm(different.items(), desc="pictures", leave=False, disable=None)
    return {path: thumbnail(source.read(sample), side) for path, sample in bar}


def _feature_map(test: Sequence[Sample], see: See) -> FeatureMap | None:
    rows = list(range(len(test)))
    if len(rows) > MOST_MAPPED:
        drawn = np.random.default_rng(seed_of("feature map")).choice(len(test), MOST_MAPPED, replace=False)
        rows = sorted(drawn.tolist())
    features = see([test[row] for row in rows]).float().numpy()
    # t-SNE does not say how far it is: the bar only says what is being waited for.
    with tqdm(total=1, desc="feature map", leave=False, disable=None):
        places = embed(features)
    return None if places is None else FeatureMap(rows=tuple(rows), places=places)
