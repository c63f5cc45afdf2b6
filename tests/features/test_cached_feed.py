"""Cached rows come in the order in which a loader gives the images, an epoch showing one view or all."""

import pytest
import torch
from feature_set import classifier, images, runtime

from finegrain.data.loader import Loader
from finegrain.data.transforms import AugmentConfig, eval_transform
from finegrain.features.extract import extract
from finegrain.features.feed import CachedFeed
from finegrain.features.views import Drawn, Plain, evaluation_views

COUNT = 9
PLAIN = Plain()


@pytest.fixture
def made(tmp_path):
    samples, source = images(tmp_path, COUNT)
    model = classifier()

    def make(views=(PLAIN,), **options):
        features = extract(samples, source=source, classifier=model, runtime=runtime(), views=views)
        return features, CachedFeed(features, samples=samples, runtime=runtime(), **{"seed": 3, **options})

    def load(**options):
        transform = eval_transform(model.preprocessing)
        return Loader(samples, source=source, transform=transform, **{"seed": 3, **options})

    return make, load


@pytest.mark.parametrize("options", [{"batch_size": size, "train": train} for size in (2, 4, 9) for train in (0, 1)])
def test_the_order_is_the_loaders(made, options) -> None:
    make, load = made
    features, feed = make(**options)
    loader = load(**options)
    assert len(feed) == len(loader)
    for epoch in (0, 5):
        steps = list(feed.epoch(epoch))
        batches = list(loader.epoch(epoch))
        for step, batch in zip(steps, batches, strict=True):
            assert torch.equal(step.indices, batch.indices)
            assert torch.equal(step.labels, batch.labels)
            assert torch.equal(step.views[0], features.values[batch.indices])
        (resumed, *_) = feed.epoch(epoch, start_step=len(feed) - 1)
        assert torch.equal(resumed.indices, batches[-1].indices)


def test_in_training_views_take_turns(made) -> None:
    make, _ = made
    views = [Drawn(augment=AugmentConfig(preset="strong"), seed=0, number=number) for number in range(3)]
    features, feed = make(views, batch_size=COUNT, train=True)
    for epoch in range(6):
        (step,) = feed.epoch(epoch)
        assert len(step.views) == 1
        assert torch.equal(step.views[0], features.values[step.indices, epoch % 3])


def test_otherwise_all_views_come_at_once(made) -> None:
    make, _ = made
    views = evaluation_views(classifier().preprocessing, "flip")
    features, feed = make(views, batch_size=4, train=False)
    seen = [torch.cat(rows) for rows in zip(*(step.views for step in feed.epoch(0)), strict=True)]
    assert torch.equal(torch.stack(seen, 1), features.values)
