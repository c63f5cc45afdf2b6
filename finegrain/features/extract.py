"""Features of images, each computed once: from the cache where it has them, else by the frozen backbone."""

import hashlib
import logging
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from finegrain.data.base import Sample, Source
from finegrain.data.loader import Loader
from finegrain.data.transforms import AugmentConfig, Transform, eval_transform, normalize
from finegrain.errors import ConfigError, DataError, fault
from finegrain.features.cache import FeatureCache
from finegrain.features.inference import FrozenBackbone, frozen
from finegrain.features.keys import image_keys, network_key, stored_dtype, view_key
from finegrain.features.shelf import Shelf, bytes_of
from finegrain.models.classifier import Classifier
from finegrain.preprocessing import Preprocessing
from finegrain.runtime import Runtime, seed_of

logger = logging.getLogger(__name__)

_BATCH_SIZE = {"cpu": 16, "cuda": 128}


@dataclass(frozen=True, kw_only=True, slots=True)
class Features:
    """What a frozen backbone says of N images, in their order."""

    key: str
    """Of the network, in hex; a head must only read features of the key it was fitted on."""
    hits: int
    """Rows that were in the cache."""
    misses: int
    """Rows that were computed."""
    stored_bytes: int
    """What the network's features take in the cache; 0 where nothing is stored."""
    views: int
    """K, rows of an image."""
    shelf: Shelf
    """Holds the rows, memory-mapped where they are stored."""
    rows: tuple[bytes, ...]
    """The keys of all rows, the views of an image side by side."""

    @property
    def values(self) -> Tensor:
        """A fresh copy of all rows, [N, D], or [N, K, D] for K > 1 views; float32 if computed in it, else float16."""
        values = self.shelf.gather(self.rows)
        return values if self.views == 1 else values.view(-1, self.views, *values.shape[1:])


def extract(
    samples: Sequence[Sample],
    *,
    source: Source,
    classifier: Classifier,
    runtime: Runtime,
    cache: FeatureCache | None = None,
    views: int = 1,
    augment: AugmentConfig | None = None,
    seed: int = 0,
    batch_size: int | None = None,
    title: str = "features",
) -> Features:
    """Compute what the head of `classifier` reads for every sample, unless the cache has it.

    Args:
        samples: Labels, names and order have no part in the features.
        source: Reads their pixels.
        classifier: Left as it is.
        runtime: Gives the device, the precision and the loader's processes.
        cache: Where features are kept; none: in memory.
        views: K ≥ 1. The first view is evaluation's; the others are drawn by `augment`.
        augment: Of the further views.
        seed: Of the further views; what is drawn is a function of (seed, view, pixels).
        batch_size: None: what suits the device.
        title: Shown beside the progress bar.

    Raises:
        ConfigError: Several views without augmentation, or the network's resize is smaller than its crop.
        DataError: There are no samples, or an image cannot be read.
        NumericsError: A feature is not finite in the format it is stored in.
        OutputError: The disk is full; what was stored so far is kept.
    """
    _check(samples, views, augment)
    key, dtype = network_key(classifier, runtime), stored_dtype(runtime)
    preprocessing, size = classifier.preprocessing, batch_size or _BATCH_SIZE[runtime.device.type]
    shelf = Shelf(None, dtype=dtype) if cache is None else cache.shelf(key, dtype)
    plan = [_View(number=number, augment=augment if number else None, seed=seed) for number in range(views)]
    images = image_keys(samples, source)
    wanted = [{view.key(image): sample for image, sample in zip(images, samples, strict=True)} for view in plan]
    misses = 0
    if any(_missing(shelf, wanted)):
        with shelf.filling():
            missing = _missing(shelf, wanted)  # Another process may have computed some meanwhile.
            misses = sum(map(len, missing))
            if misses:
                backbone = frozen(classifier, runtime, images=misses, batch_size=size)
                fill = partial(_fill, shelf, backbone, source=source, preprocessing=preprocessing, batch_size=size)
                with tqdm(total=misses, desc=title, unit="image", leave=False, disable=None) as progress:
                    for view, rows in zip(plan, missing, strict=True):
                        fill(rows, transform=view.transform(preprocessing), progress=progress)
    hits, stored = sum(map(len, wanted)) - misses, bytes_of(shelf.folder) if shelf.folder else 0
    where = f"; {stored:,} bytes in {shelf.folder}" if stored else ""
    logger.info("%s: %d from the cache, %d computed%s", title, hits, misses, where)
    return Features(
        key=key,
        hits=hits,
        misses=misses,
        stored_bytes=stored,
        views=views,
        shelf=shelf,
        rows=tuple(view.key(image) for image in images for view in plan),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _View:
    """One way to look at every image."""

    number: int
    augment: AugmentConfig | None
    """None: as in evaluation."""
    seed: int

    def key(self, image: bytes) -> bytes:
        """The row's key of an image of this key."""
        if self.augment is None:
            return image
        return view_key(image, repr((self.number, self.seed, self.augment)))

    def transform(self, preprocessing: Preprocessing) -> Transform:
        """What is done to the pixels."""
        if self.augment is None:
            return eval_transform(preprocessing)
        return _DrawnByContent(self.augment.train_transform(preprocessing), seed_of(self.seed, "view", self.number))


class _DrawnByContent:
    """A transform that draws from a seed and the image's pixels.

    A loader draws by an image's place, which changes when images are added: its row could not be found again.
    """

    def __init__(self, transform: Transform, seed: int) -> None:
        self._transform = transform
        self._seed = seed

    def __call__(self, *, image: NDArray[np.uint8]) -> dict[str, Any]:
        drawn = seed_of(self._seed, hashlib.sha256(np.ascontiguousarray(image).data).hexdigest())
        self._transform.set_random_state(np.random.Generator(np.random.PCG64(drawn)), random.Random(drawn))
        return self._transform(image=image)

    def set_random_state(self, random_generator: np.random.Generator, py_random: random.Random) -> None:
        """The loader's generators are not drawn from."""


def _check(samples: Sequence[Sample], views: int, augment: AugmentConfig | None) -> None:
    if not samples:
        raise DataError(fault("no images to extract from", got="none", expected="1 or more", remedy="add images"))
    if views > 1 and augment is None:
        raise ConfigError(
            fault("further views need an augmentation", got=f"{views} views", expected="1 view", remedy="set augment")
        )


def _missing(shelf: Shelf, wanted: Sequence[dict[bytes, Sample]]) -> list[dict[bytes, Sample]]:
    """What neither the shelf nor the disk has, view by view."""
    shelf.load({row for rows in wanted for row in rows})
    return [{row: sample for row, sample in rows.items() if row not in shelf} for rows in wanted]


def _fill(
    shelf: Shelf,
    backbone: FrozenBackbone,
    rows: dict[bytes, Sample],
    *,
    source: Source,
    transform: Transform,
    preprocessing: Preprocessing,
    batch_size: int,
    progress: tqdm,
) -> None:
    """Compute the rows of one view."""
    if not rows:
        return
    keys, runtime = list(rows), backbone.runtime
    loader = Loader(
        tuple(rows.values()),
        source=source,
        transform=transform,
        batch_size=batch_size,
        seed=0,
        train=False,
        num_workers=runtime.num_workers,
    )
    for batch in loader.epoch(0):
        images = runtime.place_images(_padded(batch.images, batch_size))
        values = backbone(normalize(images, preprocessing))[: len(batch.indices)]
        shelf.add([keys[index] for index in batch.indices.tolist()], values)
        progress.update(len(values))


def _padded(images: Tensor, size: int) -> Tensor:
    """A batch of always the same shape: a row's rounding must not depend on how many images are missing today."""
    blank = images.new_zeros(size - len(images), *images.shape[1:])
    return torch.cat([images, blank]) if len(blank) else images
