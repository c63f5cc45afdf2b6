"""Classifying as evaluation does, only faster; and what happens to files that cannot be read."""

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from feature_set import classifier, images, runtime
from PIL import Image
from torch import nn

from finegrain.data.base import Sample
from finegrain.data.feed import ImageFeed
from finegrain.data.loader import Loader
from finegrain.data.transforms import eval_transform, eval_views
from finegrain.engine.evaluate import predict
from finegrain.errors import DataError
from finegrain.features import classify as module
from finegrain.features.classify import classify


def evaluated(samples, source, model, *, views="plain"):
    """In fp32, as the report's."""
    shown = eval_transform(model.preprocessing, eval_views(model.preprocessing, views))
    loader = Loader(samples, source=source, transform=shown, batch_size=3, seed=0, train=False)
    feed = ImageFeed(loader, preprocessing=model.preprocessing, runtime=runtime())
    return predict(model, feed, runtime=runtime(), title="").probabilities


@pytest.fixture(scope="module")
def model():
    """Random, and with a head that tells images apart."""
    built = classifier()
    with torch.random.fork_rng():
        torch.manual_seed(1)
        nn.init.normal_(built.network.fc.weight, std=0.5)
    return built


@pytest.fixture
def drawn(tmp_path: Path):
    return images(tmp_path, 7)


@pytest.mark.parametrize("views", ["plain", "flip", "five_crop", "multi_scale"])
def test_fp32_is_what_evaluation_says_whatever_the_batches(model, drawn, views: str):
    samples, source = drawn
    expected = evaluated(samples, source, model, views=views)
    for size in (None, 1, 3, 50):
        found = classify(samples, source=source, classifier=model, runtime=runtime(), views=views, batch_size=size)
        np.testing.assert_allclose(found.probabilities, expected, rtol=1e-4, atol=1e-6)
        assert found.unreadable == {}


@pytest.mark.parametrize("name", ["timm/test_resnet", "timm/test_vit", "timm/mobilenetv2_035"])
def test_bf16_goes_through_the_frozen_network(drawn, name: str, monkeypatch, caplog):
    samples, source = drawn
    built = classifier(name, image_size=None if "vit" in name else 64)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        nn.init.normal_(built.get_submodule(built.head_name).weight, std=0.1)
    expected = evaluated(samples, source, built)
    calls = []
    real = module.compiled
    monkeypatch.setattr(module, "compiled", lambda *args, **words: calls.append(words) or real(*args, **words))
    with caplog.at_level(logging.INFO):
        found = classify(samples, source=source, classifier=built, runtime=runtime("bf16"), views="flip")
    assert calls == [{"images": 14, "batch_size": 7}]
    assert "as in evaluation" not in caplog.text
    plain = classify(samples, source=source, classifier=built, runtime=runtime("bf16")).probabilities
    assert np.abs(plain - expected).max() < 0.05
    assert not np.allclose(found.probabilities, plain, atol=1e-6)


def test_a_fast_form_that_says_something_else_is_left(model, drawn, monkeypatch, caplog):
    samples, source = drawn
    expected = classify(samples, source=source, classifier=model, runtime=runtime()).probabilities
    real = module.frozen

    def wrong(*args):
        backbone = real(*args)
        network = backbone.network
        backbone.network = lambda images: network(images).flip(1)
        return backbone

    monkeypatch.setattr(module, "frozen", wrong)
    with caplog.at_level(logging.INFO):
        found = classify(samples, source=source, classifier=model, runtime=runtime("bf16"))
    assert "as in evaluation" in caplog.text
    assert np.abs(found.probabilities - expected).max() < 0.1


class HeadInside(nn.Module):
    """What follows its head changes the logits."""

    def __init__(self, *, flips: bool) -> None:
        super().__init__()
        self.body, self.fc, self.flips = nn.Conv2d(3, 6, 3), nn.Linear(6, 5), flips

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        logits = self.fc(self.body(pixels).mean((2, 3)))
        return logits.flip(1) if self.flips else 3 * logits


@pytest.mark.parametrize("flips", [False, True])
def test_a_head_within_the_network_is_noticed(drawn, flips: bool):
    samples, source = drawn
    built = classifier()
    built.network = HeadInside(flips=flips)
    built.network.fc.bias.data = torch.arange(5.0)
    expected = evaluated(samples, source, built)
    found = classify(samples, source=source, classifier=built, runtime=runtime("bf16")).probabilities
    assert np.abs(found - expected).max() < 0.05


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_what_cannot_be_read_is_named_and_the_rest_is_done(model, drawn, tmp_path: Path, workers: int, precision):
    samples, source = drawn
    expected = classify(samples, source=source, classifier=model, runtime=runtime(precision)).probabilities
    whole = (tmp_path / "0.png").read_bytes()
    for name, content in {"cut.png": whole[: len(whole) // 2], "text.png": b"hello"}.items():
        (tmp_path / name).write_bytes(content)
    Image.fromarray(np.zeros((40, 50, 3), np.uint8)).save(tmp_path / "night.png")
    bad = [Sample(path=name, label=0) for name in ("cut.png", "text.png", "gone.png", "night.png")]
    mixed = [bad[0], *samples[:3], bad[1], bad[3], *samples[3:], bad[2]]
    found = classify(mixed, source=source, classifier=model, runtime=runtime(precision, num_workers=workers))
    assert list(found.unreadable) == [0, 4, 10]
    assert "cut.png cannot be read as an image" in found.unreadable[0]
    assert found.unreadable[10].startswith("gone.png cannot be read as an image: got No such file or directory; exp")
    assert "on_bad" not in "".join(found.unreadable.values())
    np.testing.assert_allclose(found.probabilities[[1, 2, 3, 6, 7, 8, 9]], expected, atol=0.02)


def test_a_file_that_is_mended_meanwhile_is_not_taken_for_a_black_one(model, drawn):
    samples, source = drawn

    class Mended:
        def __init__(self) -> None:
            self.reads = 0

        def read(self, sample):
            self.reads += sample.path == "3.png"
            if sample.path == "3.png" and self.reads <= 2:  # once among the first, once in its batch
                raise DataError("3.png cannot be read; mend it")
            return source.read(sample)

    found = classify(samples, source=Mended(), classifier=model, runtime=runtime())
    assert found.unreadable == {3: "3.png changed while it was read"}
