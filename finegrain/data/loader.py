"""Batches that are a function of (seed, epoch, step): neither the number of workers nor a resume changes them."""

import copy
import random
import signal
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from multiprocessing.util import Finalize
from types import FrameType
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader

from finegrain.data.base import Sample, Source
from finegrain.data.prefetch import ordered_map
from finegrain.data.transforms import Transform
from finegrain.errors import DataError, fault
from finegrain.runtime import seed_of


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """Images of one step."""

    images: Tensor
    """uint8 [B, 3, S, S], or [B, 3, V·S, S] with V views below each other, channels last in memory."""
    labels: Tensor
    """int64 [B]."""
    indices: Tensor
    """int64 [B], positions in the loader's samples."""

    def pin_memory(self) -> "Batch":
        """This batch in page-locked memory, from which CUDA copies faster."""
        return Batch(
            images=self.images.pin_memory(), labels=self.labels.pin_memory(), indices=self.indices.pin_memory()
        )


class Loader:
    """Loads `samples` batch by batch, epoch by epoch.

    In training order is drawn from (seed, epoch); what happens to a sample is drawn from (seed, epoch, index). Every
    sample comes once an epoch, but a last training batch of a single image is left out: batch normalisation has no
    variance to divide by.

    Args:
        samples: What to load.
        source: Reads a sample's pixels.
        transform: What is done to pixels.
        batch_size: Images of a batch; the last may have fewer.
        seed: Of order and transform.
        train: Shuffle, and leave a last single image out.
        num_workers: Processes; 0 decodes in threads of this process.

    Raises:
        DataError: There is no batch to load.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        *,
        source: Source,
        transform: Transform,
        batch_size: int,
        seed: int,
        train: bool,
        num_workers: int = 0,
    ) -> None:
        self.samples = tuple(samples)
        self.batch_size = batch_size
        self._images = _Images(self.samples, source, transform, seed)
        self._seed = seed
        self._train = train
        self._keys = _Keys()
        self._workers = _worker_pool(self._images, self._keys, num_workers) if num_workers else None
        if self._workers is not None:
            # Before multiprocessing closes the queues (10), and ends workers by a signal and waits for them.
            Finalize(self, _stop_workers, args=(self._workers,), exitpriority=100)
        if not len(self):
            raise DataError(
                fault(
                    "too few images to load",
                    got=len(self.samples),
                    expected="2 or more in training, 1 or more otherwise",
                    remedy="add images to this split",
                )
            )

    def __len__(self) -> int:
        """Batches of an epoch."""
        return len(batches(len(self.samples), batch_size=self.batch_size, train=self._train))

    def epoch(self, epoch: int, start_step: int = 0) -> Iterator[Batch]:
        """The batches of `epoch` from `start_step` on, the same however the epoch is cut into calls.

        Raises:
            DataError: An image cannot be read.
        """
        order = batches(len(self.samples), batch_size=self.batch_size, train=self._train, seed=self._seed, epoch=epoch)
        keys = [_Key(epoch, indices) for indices in order[start_step:]]
        if self._workers is None:
            return self._load_in_threads(keys)
        return self._load_in_workers(self._workers, keys)

    def _load_in_workers(self, workers: "DataLoader[Batch]", keys: list["_Key"]) -> Iterator[Batch]:
        self._keys.now = keys
        for batch in workers:
            if isinstance(batch, DataError):
                # Raising `batch` itself would tie it, this frame and the workers into a cycle, slow to be stopped.
                raise DataError(str(batch))
            yield batch

    def _load_in_threads(self, keys: list["_Key"]) -> Iterator[Batch]:
        """Threads decode while the caller computes: decoding and resizing run without Python's lock."""
        transforms = threading.local()

        def load(part: _Key) -> list[NDArray[np.uint8]]:
            if not hasattr(transforms, "own"):
                transforms.own = copy.deepcopy(self._images.transform)
            return [self._images.load(part.epoch, int(index), transforms.own) for index in part.indices]

        threads = min(torch.get_num_threads(), _MOST_THREADS)
        size = max(1, min(_IMAGES_AT_ONCE, self.batch_size // threads))
        parts = [key.parts(size) for key in keys]
        loaded = ordered_map(load, chain.from_iterable(parts), threads=threads, ahead=-(-2 * self.batch_size // size))
        for key, own_parts in zip(keys, parts, strict=True):
            yield self._images.collate(key, [pixels for _ in own_parts for pixels in next(loaded)])


def batches(count: int, *, batch_size: int, train: bool, seed: int = 0, epoch: int = 0) -> list[NDArray[np.int64]]:
    """The indices of each batch of an epoch over `count` samples, int64 [B] each.

    In training they are a permutation drawn from (seed, epoch), and a last batch of one is left out.
    """
    order = np.arange(count)
    if train:
        order = np.random.default_rng(seed_of(seed, "order", epoch)).permutation(order)
    parts = [order[start : start + batch_size] for start in range(0, count, batch_size)]
    return parts[:-1] if train and batch_size > 1 and count % batch_size == 1 else parts


_SECONDS_TO_SAVE = 20
"""How long a worker outlives a SIGTERM."""

_MOST_THREADS = 8
"""Beyond this, threads wait for Python's lock; use worker processes."""

_IMAGES_AT_ONCE = 8
"""What a thread loads at most before it wakes the caller: one by one, that took 5 % of all the time."""


@dataclass(frozen=True, slots=True)
class _Key:
    """One batch or a part of it: what a worker or a thread is asked for."""

    epoch: int
    indices: NDArray[np.int64]

    def parts(self, size: int) -> list["_Key"]:
        """This batch in parts of `size` images; the last may have fewer."""
        return [_Key(self.epoch, self.indices[start : start + size]) for start in range(0, len(self.indices), size)]


class _Keys:
    """The sampler of the worker pool: the batches of the epoch that is about to start."""

    now: Sequence[_Key] = ()

    def __iter__(self) -> Iterator[_Key]:
        return iter(self.now)

    def __len__(self) -> int:
        return len(self.now)


@dataclass(frozen=True, slots=True)
class _Images:
    """Reads and transforms single samples; in workers, whole batches."""

    samples: tuple[Sample, ...]
    source: Source
    transform: Transform
    seed: int

    def load(self, epoch: int, index: int, transform: Transform) -> NDArray[np.uint8]:
        """The transformed image [S, S, 3] of sample `index`.

        The steps of the pipeline share the generators. `set_random_seed` would give every step the same numbers
        instead: an image would lose rectangles exactly when it is mirrored.
        """
        seed = seed_of(self.seed, "image", epoch, index)
        pixels = self.source.read(self.samples[index])
        transform.set_random_state(np.random.Generator(np.random.PCG64(seed)), random.Random(seed))
        result: NDArray[np.uint8] = transform(image=pixels)["image"]
        return result

    def collate(self, key: _Key, pixels: list[NDArray[np.uint8]]) -> Batch:
        """Images [S, S, 3] as one batch."""
        labels = [self.samples[index].label for index in key.indices]
        return Batch(
            images=torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2),
            labels=torch.tensor(labels, dtype=torch.int64),
            indices=torch.from_numpy(key.indices.astype(np.int64)),
        )

    def __getitem__(self, key: _Key) -> Batch | DataError:
        """A whole batch; an error is returned, as raising it in a worker would bury its message in a traceback."""
        try:
            return self.collate(key, [self.load(key.epoch, int(index), self.transform) for index in key.indices])
        except DataError as error:
            return error


def _worker_pool(images: _Images, keys: _Keys, num_workers: int) -> "DataLoader[Batch]":
    """Worker processes that outlive an epoch; the generator of their own keeps torch's global one untouched."""
    return DataLoader(
        images,  # type: ignore[arg-type]
        batch_size=None,
        sampler=keys,
        num_workers=num_workers,
        multiprocessing_context="fork",  # the others leave a server behind when the run is killed
        collate_fn=_as_it_is,
        worker_init_fn=_start_worker,
        persistent_workers=True,
        pin_memory=torch.cuda.is_available(),
        generator=torch.Generator(),
    )


def _as_it_is(batch: Any) -> Any:
    return batch


def _start_worker(_: int) -> None:
    """One thread a worker; a signal that was sent to the whole group is the parent's to answer."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _leave_later)
    torch.set_num_threads(1)
    cv2.setNumThreads(0)


def _leave_later(number: int, frame: FrameType | None) -> None:
    """Let the parent save and stop its workers first: torch takes a worker that dies before for a failure."""
    signal.alarm(_SECONDS_TO_SAVE)


def _stop_workers(workers: "DataLoader[Batch]") -> None:
    iterator = getattr(workers, "_iterator", None)
    if iterator is not None:
        iterator._shutdown_workers()
