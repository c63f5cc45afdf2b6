"""Train on what the frozen part of the network gives, computed once an image, if that is the same or asked for."""

import logging
from collections.abc import Sequence
from dataclasses import replace

from finegrain.data.base import Data, Sample
from finegrain.data.feed import Feed
from finegrain.data.transforms import AugmentConfig
from finegrain.engine.evaluate import EvaluationConfig
from finegrain.errors import ConfigError, fault
from finegrain.features.cache import FeatureCache
from finegrain.features.cut import enter, find_cut
from finegrain.features.extract import extract
from finegrain.features.feed import CachedFeed
from finegrain.features.inference import frozen_once
from finegrain.features.views import Drawn, Plain, View
from finegrain.models.classifier import Classifier
from finegrain.runtime import Runtime
from finegrain.tuning.base import Tuning
from finegrain.tuning.head import Head

logger = logging.getLogger(__name__)


def faults(tuning: Tuning, augment: AugmentConfig, evaluation: EvaluationConfig) -> list[str]:
    """What stands against the `cached_views`, and the curves of test, that are asked for."""
    views = tuning.cached_views
    against = {
        "every layer is trained": not tuning.freezes,
        "whole batches of images are mixed": augment.mix(num_classes=2) is not None,
        "images are not varied: 1 view is all there is": augment.preset == "none" and (views or 1) > 1,
    }
    remedy = "leave tuning.cached_views out, or change what stands against it"
    found = [
        fault("tuning.cached_views cannot be", got=views, expected=f"none, as {why}", remedy=remedy)
        for why, holds in against.items()
        if holds and views is not None
    ]
    if evaluation.test_curve and train_views(tuning, augment, seed=0) is not None:
        expected = "false, as the frozen layers run once on train and val, and the loop then reads no images"
        remedy = "leave it out, or let them run in every epoch: tuning.cached_views=none augment.preset=weak"
        found.append(fault("evaluation.test_curve cannot be", got="true", expected=expected, remedy=remedy))
    return found


def reads_the_same(tuning: Tuning, augment: AugmentConfig) -> bool:
    """Whether every epoch reads the same features, as a head does on images that are never varied."""
    return isinstance(tuning, Head) and augment.preset == "none" and augment.mix(num_classes=2) is None


def train_views(tuning: Tuning, augment: AugmentConfig, *, seed: int) -> tuple[View, ...] | None:
    """The views of a train image that are computed once; None: every epoch draws fresh ones."""
    if tuning.cached_views is None and not reads_the_same(tuning, augment):
        return None
    if augment.preset == "none":
        return (Plain(),)
    return tuple(Drawn(augment=augment, seed=seed, number=number) for number in range(tuning.cached_views or 1))


def cached_feeds(
    classifier: Classifier,
    *,
    data: Data,
    train_views: Sequence[View],
    val_views: Sequence[View],
    batch_size: int,
    seed: int,
    runtime: Runtime,
    cache: FeatureCache,
) -> tuple[Feed, Feed]:
    """Feeds of train and val that enter `classifier` where its frozen part ends; it then takes no images any more.

    Args:
        classifier: Changed by `enter`; its weights and their names stay.
        data: The splits.
        train_views: What is computed of train images.
        val_views: What is computed of val images.
        batch_size: Of training.
        seed: Of the order.
        runtime: Where and how to compute.
        cache: Keeps what is computed.

    Raises:
        ConfigError: The network cannot be entered in the middle.
        OutputError: There is no room for what would be stored.
    """
    cut = find_cut(classifier)
    if cut is None:
        raise ConfigError(
            fault(
                "this network cannot be entered in the middle",
                got=f"{classifier.architecture}, trained from {classifier.boundary}",
                expected="a place that one tensor passes through",
                remedy="leave tuning.cached_views out, or set augment.preset=weak",
            )
        )
    stored = None if cut.path == classifier.head_name and len(cut.shape) == 1 else cut
    build = frozen_once(classifier, cut=stored)
    exact = replace(runtime, compile="never")  # whether compiling pays is a matter of time: a rerun may differ
    logger.info("the layers before %s run once an image and are not trained", cut.path)

    def feed(samples: Sequence[Sample], views: Sequence[View], *, train: bool, reserve: int = 0) -> Feed:
        features = extract(
            samples,
            source=data.source,
            classifier=classifier,
            runtime=exact,
            cache=cache,
            views=views,
            cut=stored,
            build=build,
            reserve=reserve,
            title="train features" if train else "val features",
        )
        return CachedFeed(features, samples=samples, batch_size=batch_size, seed=seed, train=train, runtime=runtime)

    train = feed(data.train, train_views, train=True, reserve=len(data.val) * len(val_views))
    val = feed(data.val, val_views, train=False)
    enter(classifier, cut)
    return train, val
