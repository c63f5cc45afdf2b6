"""Which generator of a training is kept: the one whose images are nearest to val's, by their kernel distance."""

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from torch import Tensor
from torch.nn import functional

from finegrain.config import Range
from finegrain.data.feed import Feed
from finegrain.errors import DataError, fault
from finegrain.gan.networks.sampler import Sampler
from finegrain.metrics.feature_sets import Extractor
from finegrain.metrics.kernel_distance import LEAST, KernelDistance, kernel_distance, mmd2
from finegrain.models.tensors import read_tensors
from finegrain.models.weights import load_folder
from finegrain.runtime import Runtime, seed_of
from finegrain.storage import atomic_write, locate

SIDE = 32
"""Pixels to which images are reduced before their principal components."""
COMPONENTS = 64
FITTED = 1000
"""Images of train that the components are of, at most."""
Numbers = NDArray[np.float64]


@dataclass(kw_only=True, slots=True)
class SelectionConfig:
    """How generators are compared while one is trained."""

    samples: Annotated[int, Range(least=LEAST)] = 500
    """Images that are generated for each evaluation, of val's classes in val's proportions."""
    classifier: str | None = None
    """Model folder of a classifier trained on real train images alone, by whose features images are compared; none: by
    the principal components of train's pixels, which tell colours and outlines and little of details."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FeatureExtractor:
    """What images are compared by."""

    extractor: Extractor
    """Its name and digest, without which a distance means nothing."""
    features: Callable[[Tensor], Tensor]
    """Maps images float32 [B, 3, S, S] in [−1, 1] to features [B, D]."""

    def __call__(self, images: Tensor) -> Numbers:
        """Features float64 [N, D] of images [N, 3, S, S]."""
        with torch.no_grad():
            rows = torch.cat([self.features(part).float().cpu() for part in torch.split(images, 64)])
        return rows.double().numpy()


def pixel_components(train: Callable[[int], Tensor], file: Path) -> FeatureExtractor:
    """The first principal components of train's pixels, each of variance 1.

    Args:
        train: Gives at most so many train images [N, 3, S, S].
        file: Keeps them: another number of threads would give other last digits, and so other distances.
    """
    if not file.exists():
        rows = _reduced(train(FITTED)).double().numpy()
        count = min(COMPONENTS, len(rows) - 1)
        pca = PCA(count, svd_solver="randomized", random_state=0).fit(rows)
        scale = 1 / np.sqrt(np.maximum(pca.explained_variance_, 1e-12))
        tensors = {"mean": torch.tensor(pca.mean_), "components": torch.tensor(pca.components_ * scale[:, None])}
        atomic_write(
            file, safetensors.torch.save({name: tensor.float().contiguous() for name, tensor in tensors.items()})
        )
    tensors = read_tensors(file)

    def features(images: Tensor) -> Tensor:
        return (_reduced(images.cpu()) - tensors["mean"]) @ tensors["components"].T

    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    name = f"{len(tensors['components'])} principal components of train's pixels"
    return FeatureExtractor(extractor=Extractor(name=name, sha256=sha256), features=features)


def _reduced(images: Tensor) -> Tensor:
    return functional.interpolate(images, (SIDE, SIDE), mode="area").flatten(1)


def classifier_features(folder: str, runtime: Runtime) -> FeatureExtractor:
    """What the head of a classifier reads; raises WeightsError where `folder` holds none."""
    path = locate(folder)
    classifier, _ = load_folder(path)
    classifier.to(runtime.device).eval()
    expected = classifier.preprocessing
    mean, std = (torch.tensor(values, device=runtime.device).view(3, 1, 1) for values in (expected.mean, expected.std))

    def features(images: Tensor) -> Tensor:
        size = (expected.image_size, expected.image_size)
        shown = functional.interpolate(images.to(runtime.device), size, mode="bilinear", antialias=True)
        found: Tensor = classifier.forward_features((shown / 2 + 0.5 - mean) / std)
        return found

    digest = hashlib.sha256()
    for name, tensor in sorted(classifier.state_dict().items()):
        digest.update(name.encode() + tensor.cpu().contiguous().numpy().tobytes())
    extractor = Extractor(name=classifier.architecture, sha256=digest.hexdigest())
    return FeatureExtractor(extractor=extractor, features=features)


def images_of(feed: Feed, most: int | None = None) -> tuple[Tensor, Tensor]:
    """The first images of a feed on the CPU, float32 [N, 3, S, S], and their labels int64 [N]; all without `most`."""
    images: list[Tensor] = []
    labels: list[Tensor] = []
    for inputs in feed.epoch(0):
        images.append(inputs.views[0].cpu())
        labels.append(inputs.labels)
        if most is not None and sum(map(len, labels)) >= most:
            break
    return torch.cat(images)[:most], torch.cat(labels)[:most]


class Selection:
    """Compares a generator's images with real ones that it was not trained on."""

    def __init__(self, extract: FeatureExtractor, *, val: Feed, samples: int, seed: int) -> None:
        """Compute the features of val.

        Args:
            extract: What images are compared by.
            val: The real images.
            samples: Images that are generated.
            seed: Of their noise: every generator gets the same.

        Raises:
            DataError: Val has too few images.
        """
        if len(val.samples) < LEAST:
            what, remedy = "val has too few images to choose a generator", "raise data.val_fraction, or add images"
            raise DataError(fault(what, got=len(val.samples), expected=f"at least {LEAST}", remedy=remedy))
        self.extractor = extract.extractor
        self._extract = extract
        images, labels = images_of(val)
        self._real, self._real_labels = extract(images), labels.numpy()
        # Val's order may go class by class: evenly spaced rows keep its proportions, whatever the number.
        rows = (
            np.arange(samples) * len(labels) // samples if samples < len(labels) else np.arange(samples) % len(labels)
        )
        self._labels = self._real_labels[rows]
        self._seeds = [seed_of(seed, "selection", number) for number in range(samples)]
        self._seed = seed

    def __call__(self, generator: Sampler) -> dict[str, float]:
        """`kernel_distance` to val, and `diversity`: the spread within classes over that of val's, 1 where equal."""
        fake = self._features(generator)
        spread = _spread(fake, self._labels) / _spread(self._real, self._real_labels)
        return {"kernel_distance": mmd2(self._real, fake), "diversity": spread}

    def judge(self, generator: Sampler) -> KernelDistance:
        """The same distance with its interval, and with the floor that real images set."""
        return kernel_distance(self._real, self._features(generator), extractor=self.extractor, seed=self._seed)

    def _features(self, generator: Sampler) -> Numbers:
        return self._extract(generator.sample(self._labels.tolist(), self._seeds))


def _spread(features: Numbers, labels: NDArray[Any]) -> float:
    """Root mean square distance of images from their class's mean, by n − 1; NaN where no class has two images."""
    parts = [features[labels == label] for label in np.unique(labels)]
    squares = sum(float(np.square(part - part.mean(axis=0)).sum()) for part in parts)
    freedom = len(features) - len(parts)
    return math.sqrt(squares / freedom) if freedom and squares else math.nan
