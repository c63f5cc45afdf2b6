"""Features of images, each computed once: from the cache where it has them, else by the frozen backbone."""

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity
from tqdm import tqdm

from finegrain.data.base import Sample, Source
from finegrain.data.loader import Loader
from finegrain.data.transforms import Transform, eval_transform, normalize
from finegrain.errors import DataError, fault
from finegrain.features.cache import FeatureCache
from finegrain.features.compiling import compiled
from finegrain.features.cut import Cut
from finegrain.features.inference import FrozenBackbone, batch_that_fits, frozen_once
from finegrain.features.keys import image_keys, network_key, stored_dtype
from finegrain.features.shelf import Shelf, bytes_of
from finegrain.features.views import Plain, View
from finegrain.models.classifier import Classifier
from finegrain.preprocessing import Preprocessing
from finegrain.runtime import Runtime

logger = logging.getLogger(__name__)

LIKENESS = 0.999
"""Smallest mean cosine of bf16 features to fp32's with which they are used."""

_BATCH_SIZE = {"cpu": 16, "cuda": 128}
"""Not timed: a row's rounding depends on it, and must not on the weather. Where memory lacks, fewer."""
_COMPARED = 8
"""Images that bf16 and fp32 are compared on."""


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
        """A fresh copy of all rows, [N, ...], or [N, K, ...] for K > 1 views."""
        values = self.shelf.gather(self.rows)
        return values if self.views == 1 else values.view(-1, self.views, *values.shape[1:])

    def take(self, indices: Sequence[int], view: int) -> Tensor:
        """A copy of one view of some images, [B, ...]."""
        return self.shelf.gather([self.rows[index * self.views + view] for index in indices])


def extract(
    samples: Sequence[Sample],
    *,
    source: Source,
    classifier: Classifier,
    runtime: Runtime,
    cache: FeatureCache | None = None,
    views: Sequence[View] = (Plain(),),
    cut: Cut | None = None,
    batch_size: int | None = None,
    build: Callable[[Runtime], FrozenBackbone] | None = None,
    reserve: int = 0,
    title: str = "features",
) -> Features:
    """Compute what the head of `classifier` reads of every sample, or what is read at a `cut`, unless the cache has it.

    Args:
        samples: Labels, names and order have no part in the features.
        source: Reads their pixels.
        classifier: Left as it is.
        runtime: Gives the device, the precision and the loader's processes.
        cache: Where features are kept; none: in memory.
        views: How to look at each image, K ≥ 1 ways.
        cut: Where to stop; none: at the head. Its rows are of the cut's shape.
        batch_size: None: what suits the device.
        build: `frozen_once` of this classifier and cut, shared between calls; None: the network is built here.
        reserve: Rows at the cut that come next and must find room as well.
        title: Shown beside the progress bar.

    Raises:
        ConfigError: The network's resize is smaller than its crop.
        DataError: There are no samples, or an image cannot be read.
        NumericsError: A feature is not finite in the format it is stored in.
        OutputError: The disk is full; what was stored so far is kept.
    """
    if not samples:
        raise DataError(fault("no images to extract from", got="none", expected="1 or more", remedy="add images"))
    key = network_key(classifier, runtime, cut)
    build = build or frozen_once(classifier, cut=cut)
    if runtime.precision == "bf16" and not _agrees(
        key, samples, source=source, preprocessing=classifier.preprocessing, build=build, runtime=runtime, cache=cache
    ):
        runtime = _exact(runtime)
        key = network_key(classifier, runtime, cut)
    dtype = stored_dtype(runtime, at_cut=cut is not None)
    preprocessing, size = classifier.preprocessing, batch_size or _BATCH_SIZE[runtime.device.type]
    shelf = Shelf(None, dtype=dtype) if cache is None else cache.shelf(key, dtype)
    images = image_keys(samples, source)
    wanted = [{view.key(image): sample for image, sample in zip(images, samples, strict=True)} for view in views]
    misses = 0
    if any(_missing(shelf, wanted)):
        with shelf.filling():
            missing = _missing(shelf, wanted)  # Another process may have computed some meanwhile.
            misses = sum(map(len, missing))
            if misses:
                if cut is not None:
                    _require_room(shelf, misses + reserve, cut=cut, dtype=dtype, title=title)
                size = batch_that_fits(build(runtime), size)
                backbone = compiled(build(runtime), images=misses, batch_size=size)
                fill = partial(_fill, shelf, backbone, source=source, preprocessing=preprocessing, batch_size=size)
                with tqdm(total=misses, desc=title, unit="image", leave=False, disable=None) as progress:
                    for view, rows in zip(views, missing, strict=True):
                        fill(rows, transform=view.transform(preprocessing), progress=progress)
    hits, stored = sum(map(len, wanted)) - misses, bytes_of(shelf.folder) if shelf.folder else 0
    where = f"; {stored:,} bytes in {shelf.folder}" if stored else ""
    logger.info("%s: %d from the cache, %d computed%s", title, hits, misses, where)
    return Features(
        key=key,
        hits=hits,
        misses=misses,
        stored_bytes=stored,
        views=len(views),
        shelf=shelf,
        rows=tuple(view.key(image) for image in images for view in views),
    )


def _agrees(
    key: str,
    samples: Sequence[Sample],
    *,
    source: Source,
    preprocessing: Preprocessing,
    build: Callable[[Runtime], FrozenBackbone],
    runtime: Runtime,
    cache: FeatureCache | None,
) -> bool:
    """Whether bf16 gives these images' features as fp32 does; measured once a network, by its `key`."""
    likeness = cache.likeness(key) if cache is not None else None
    if likeness is None:
        some = [samples[round(place)] for place in np.linspace(0, len(samples) - 1, min(len(samples), _COMPARED))]
        transform = eval_transform(preprocessing)
        load = Loader(some, source=source, transform=transform, batch_size=len(some), seed=0, train=False)
        (images,) = (normalize(batch.images, preprocessing) for batch in load.epoch(0))
        # In bf16 last: what is built last is kept, to extract with.
        whole, rounded = (build(each)(runtime.place_images(images)) for each in (_exact(runtime), runtime))
        likeness = float(cosine_similarity(rounded.flatten(1), whole.flatten(1)).mean())
        if likeness < LIKENESS:
            logger.info("bf16 would change the features (cosine %.4f to fp32's): they are computed in fp32", likeness)
        if cache is not None:
            cache.note_likeness(key, likeness)
    return likeness >= LIKENESS


def _exact(runtime: Runtime) -> Runtime:
    """`runtime` in fp32, where nothing is compiled."""
    return replace(runtime, precision="fp32", compile="never")


def _require_room(shelf: Shelf, rows: int, *, cut: Cut, dtype: torch.dtype, title: str) -> None:
    """Say how much will be stored, and make sure that there is room."""
    row = math.prod(cut.shape) * dtype.itemsize
    logger.info("%s: %s rows of %.0f KiB, %.2f GB in all", title, f"{rows:,}", row / 2**10, rows * row / 1e9)
    shelf.require_room(rows * row)


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
