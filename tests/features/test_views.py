"""What is cached of a view is what an uncached evaluation sees."""

from typing import get_args

import pytest
import torch
from feature_set import classifier, images, runtime

from finegrain.data.feed import ImageFeed
from finegrain.data.loader import Loader
from finegrain.data.transforms import Views, eval_transform, eval_views
from finegrain.features.extract import extract
from finegrain.features.views import Plain, evaluation_views

COUNT = 5
COUNTS = {"plain": 1, "flip": 2, "five_crop": 5, "multi_scale": 3}


@pytest.mark.parametrize("views", get_args(Views))
def test_cached_views_are_those_of_the_images(tmp_path, views) -> None:
    samples, source = images(tmp_path, COUNT)
    model = classifier().eval()
    prep = model.preprocessing
    cached = extract(
        samples, source=source, classifier=model, runtime=runtime(), views=evaluation_views(prep, views)
    ).values.view(COUNT, COUNTS[views], -1)
    transform = eval_transform(prep, eval_views(prep, views))
    load = Loader(samples, source=source, transform=transform, batch_size=COUNT, seed=0, train=False)
    (seen,) = ImageFeed(load, preprocessing=prep, runtime=runtime()).epoch(0)
    assert len(seen.views) == COUNTS[views]
    for number, view in enumerate(seen.views):
        assert view.is_contiguous(memory_format=torch.channels_last)
        with torch.no_grad():
            torch.testing.assert_close(cached[:, number], model.forward_features(view), rtol=1e-4, atol=1e-4)


def test_every_square_has_a_key_of_its_own_and_the_plain_one_the_images() -> None:
    prep, image = classifier().preprocessing, b"i" * 32
    keys = {view.key(image) for views in COUNTS for view in evaluation_views(prep, views)}
    assert len(keys) == 1 + 1 + 4 + 2  # plain is in all four
    assert Plain().key(image) == image in keys
    assert all(len(key) == 32 for key in keys)
