"""Decode every image once before training, so that a bad file is met now and not at epoch 7."""

import os
from collections.abc import Sequence

from tqdm import tqdm

from finegrain.data.base import Dropped, Sample, Source
from finegrain.data.prefetch import ordered_map
from finegrain.errors import DataError


def scan(samples: Sequence[Sample], source: Source) -> list[Dropped]:
    """Decode all of `samples` in threads, with progress, and list those that cannot be read, in the order given."""

    def refusal(sample: Sample) -> Dropped | None:
        try:
            source.read(sample)
        except DataError as error:
            return Dropped(path=sample.path, reason=str(error))
        return None

    threads = os.cpu_count() or 1
    results = ordered_map(refusal, samples, threads=threads, ahead=4 * threads)
    progress = tqdm(results, total=len(samples), desc="checking images", unit="image", leave=False, disable=None)
    return [dropped for dropped in progress if dropped is not None]
