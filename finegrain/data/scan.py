"""Decode every image once before training, so that a bad file is met now and not at epoch 7."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tqdm import tqdm

from finegrain.data.base import Dropped, Sample, Source
from finegrain.data.prefetch import ordered_map
from finegrain.errors import DataError


@dataclass(frozen=True, kw_only=True, slots=True)
class Scan:
    """What came of reading every image."""

    unreadable: tuple[Dropped, ...]
    """In the order the samples were given."""
    digests: Mapping[str, bytes]
    """SHA-256 of shape and pixels by path, of those that can be read."""


def scan(samples: Sequence[Sample], source: Source) -> Scan:
    """Decode all of `samples` in threads, with progress."""

    def read(sample: Sample) -> bytes | Dropped:
        try:
            pixels = source.read(sample)
        except DataError as error:
            return Dropped(path=sample.path, reason=str(error))
        return hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).digest()

    threads = os.cpu_count() or 1
    results = ordered_map(read, samples, threads=threads, ahead=4 * threads)
    progress = tqdm(results, total=len(samples), desc="checking images", unit="image", leave=False, disable=None)
    found = list(zip(samples, progress, strict=True))
    return Scan(
        unreadable=tuple(result for _, result in found if isinstance(result, Dropped)),
        digests={sample.path: result for sample, result in found if isinstance(result, bytes)},
    )
