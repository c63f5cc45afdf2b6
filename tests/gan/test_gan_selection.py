from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_gan import K, feed
from torch import Tensor

from finegrain.errors import DataError
from finegrain.gan.networks.generator import Generator, GeneratorConfig
from finegrain.gan.selection import (
    FeatureExtractor,
    Selection,
    classifier_features,
    images_of,
    pixel_components,
)
from finegrain.metrics.feature_sets import Extractor
from finegrain.metrics.kernel_distance import mmd2
from finegrain.models.config import ModelConfig
from finegrain.models.weights import save_folder
from finegrain.runtime import RuntimeConfig

MEANS = FeatureExtractor(
    extractor=Extractor(name="means", sha256="0" * 64), features=lambda images: images.mean(dim=(2, 3))
)


def generator() -> Generator:
    torch.manual_seed(0)
    return GeneratorConfig(width=2, noise_dim=4).build(image_size=32, num_classes=K).eval()


class Fixed(Generator):
    """Gives the real images of the feed in place of its own, scaled about the mean of their class."""

    def __init__(self, shrunk: float) -> None:
        super().__init__(GeneratorConfig(width=2, noise_dim=4), image_size=32, num_classes=K)
        self.shrunk = shrunk

    def sample(self, labels: Any, seeds: Any) -> Tensor:
        images, of = images_of(feed(12))
        means = torch.stack([images[of == label].mean(dim=0) for label in range(K)])[of]
        return means + self.shrunk * (images - means)


def test_the_distance_is_that_of_the_features_and_names_the_extractor() -> None:
    selection = Selection(MEANS, val=feed(12), samples=30, seed=1)
    made = generator()
    real = images_of(feed(12))[0].mean(dim=(2, 3)).double().numpy()
    fake = made.sample(selection._labels.tolist(), selection._seeds).mean(dim=(2, 3)).double().numpy()
    figures = selection(made)
    assert figures["kernel_distance"] == pytest.approx(mmd2(real, fake))
    judged = selection.judge(made)
    assert judged.value == pytest.approx(figures["kernel_distance"])
    assert judged.extractor == MEANS.extractor
    assert (judged.n_real, judged.n_fake) == (12, 30)
    assert selection(made) == figures


@pytest.mark.parametrize(("samples", "wanted"), [(24, [8, 8, 8]), (6, [2, 2, 2]), (12, [4, 4, 4])])
def test_generated_classes_have_vals_proportions(samples: int, wanted: list[int]) -> None:
    selection = Selection(MEANS, val=feed(12), samples=samples, seed=1)
    assert sum(np.bincount(selection._labels)) == samples
    if samples % 12 == 0:
        assert np.bincount(selection._labels, minlength=K).tolist() == wanted


@pytest.mark.parametrize("shrunk", [1.0, 0.25])
def test_diversity_is_the_spread_within_classes_over_that_of_val(shrunk: float) -> None:
    selection = Selection(MEANS, val=feed(12), samples=12, seed=1)
    assert selection(Fixed(shrunk))["diversity"] == pytest.approx(shrunk, rel=1e-4)


def test_val_must_have_images() -> None:
    with pytest.raises(DataError, match=r"val has too few images to choose a generator: got 9; expected at least 10"):
        Selection(MEANS, val=feed(9), samples=10, seed=1)


def test_pixel_components_have_variance_one_on_train_and_are_kept(tmp_path: Path) -> None:
    train = torch.rand(40, 3, 64, 64) * 2 - 1
    extract = pixel_components(lambda most: train[:most], tmp_path / "kept.safetensors")
    features = extract(train)
    assert features.shape == (40, 39)
    np.testing.assert_allclose(features.var(axis=0, ddof=1), 1, rtol=1e-3)
    np.testing.assert_allclose(np.corrcoef(features.T) - np.eye(39), 0, atol=1e-3)

    def never(most: int) -> Tensor:
        raise AssertionError("they are on the disk")

    again = pixel_components(never, tmp_path / "kept.safetensors")
    assert again.extractor == extract.extractor
    assert np.array_equal(again(train), features)
    other = pixel_components(lambda most: train.flip(1).square(), tmp_path / "other.safetensors")
    assert other.extractor.sha256 != extract.extractor.sha256


def test_a_classifiers_features_are_those_its_head_reads_and_its_weights_name_it(tmp_path: Path) -> None:
    torch.manual_seed(0)
    classifier = ModelConfig(name="timm/test_resnet", image_size=32).build(num_classes=2).eval()
    save_folder(classifier, tmp_path / "a", class_names=("jay", "wren"))
    extract = classifier_features(str(tmp_path / "a"), RuntimeConfig(device="cpu", precision="fp32").build())
    pixels = torch.rand(3, 3, 32, 32)
    p = classifier.preprocessing
    shown = (pixels - torch.tensor(p.mean).view(3, 1, 1)) / torch.tensor(p.std).view(3, 1, 1)
    with torch.no_grad():
        wanted = classifier.forward_features(shown)
    np.testing.assert_allclose(extract(2 * pixels - 1), wanted.numpy(), rtol=1e-3, atol=1e-4)
    with torch.no_grad():
        next(iter(classifier.parameters())).add_(1e-3)
    save_folder(classifier, tmp_path / "b", class_names=("jay", "wren"))
    other = classifier_features(str(tmp_path / "b"), RuntimeConfig(device="cpu", precision="fp32").build())
    assert other.extractor.name == extract.extractor.name
    assert other.extractor.sha256 != extract.extractor.sha256
