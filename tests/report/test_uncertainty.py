import dataclasses
import math

import pytest
from repeated_sample import judged

from finegrain.metrics.repeated import RepeatedMetrics, summarise
from finegrain.report.uncertainty import uncertainties, within


def _metrics(seeds: int, folds: int) -> RepeatedMetrics:
    return summarise(judged(seeds=seeds, folds=folds), num_classes=3, draws=200)


def test_each_interval_says_what_it_is_of() -> None:
    metrics = _metrics(2, 3)
    training, images, both = uncertainties(metrics, seeds=2, folds=3)
    assert training.interval == within(metrics.top1.of_training)
    assert (images.interval, both.interval) == (within(metrics.of_images), within(metrics.of_both))
    assert "corrected t-interval" in training.explanation
    assert "heuristic" in training.explanation
    assert "stratified bootstrap" in images.explanation
    assert "closed form" in both.explanation


def test_many_seeds_name_the_bootstrap_and_one_test_split_the_plain_t() -> None:
    training, _, both = uncertainties(_metrics(10, 1), seeds=10, folds=1)
    assert "Student" in training.explanation
    assert both.explanation.endswith("hierarchical bootstrap")


def test_one_cell_says_why_there_is_no_interval() -> None:
    training, images, both = uncertainties(_metrics(1, 1), seeds=1, folds=1)
    assert (training.interval, both.interval) == (None, None)
    assert training.explanation.startswith("no interval: one training")
    assert both.explanation.startswith("no interval: one seed")
    assert images.interval is not None


@pytest.mark.parametrize("images", [1, 7])
def test_where_nothing_varies_the_words_say_so(images: int) -> None:
    metrics = _metrics(2, 3)
    flat = dataclasses.replace(
        metrics,
        images=images,
        top1=dataclasses.replace(metrics.top1, of_training=None),
        of_images=None,
        of_both=None,
    )
    training, of_images, both = uncertainties(flat, seeds=2, folds=3)
    assert "all 6 trainings scored the same" in training.explanation
    assert ("one image says nothing" in of_images.explanation) == (images == 1)
    assert "neither seeds nor images" in both.explanation


def test_an_interval_of_a_fraction_keeps_to_what_is_possible() -> None:
    assert within((-0.1, 1.2)) == (0.0, 1.0)
    assert within((0.25, 0.75)) == (0.25, 0.75)
    assert within((-0.1, 1.2), math.inf) == (0.0, 1.2)
    assert within(None) is None
