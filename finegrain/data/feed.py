"""What a model is fed: batches on its device, ready to be read, as a function of (epoch, step)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from finegrain.data.base import Sample
from finegrain.data.loader import Loader
from finegrain.data.transforms import normalize
from finegrain.preprocessing import Preprocessing
from finegrain.runtime import Runtime


@dataclass(frozen=True, kw_only=True, slots=True)
class Inputs:
    """What the model reads in one step."""

    views: tuple[Tensor, ...]
    """Float tensors [B, ...], each the same B samples seen in another way; training has one."""
    labels: Tensor
    """int64 [B], on the CPU."""
    indices: Tensor
    """int64 [B], positions in the feed's samples."""


class Feed(Protocol):
    """Gives all samples once an epoch; the steps of an epoch are the same however it is cut into calls."""

    @property
    def samples(self) -> Sequence[Sample]:
        """All of them, in their order."""
        ...

    @property
    def batch_size(self) -> int:
        """Samples of a step; the last may have fewer."""
        ...

    def __len__(self) -> int:
        """Steps of an epoch."""
        ...

    def epoch(self, epoch: int, start_step: int = 0) -> Iterator[Inputs]:
        """The steps of `epoch` from `start_step` on."""
        ...


class ImageFeed:
    """Normalised images float32 [B, 3, S, S], as many views as the loader's transform makes."""

    def __init__(self, loader: Loader, *, preprocessing: Preprocessing, runtime: Runtime) -> None:
        """Feed what `loader` loads to a model of this preprocessing."""
        self.samples, self.batch_size = loader.samples, loader.batch_size
        self._loader = loader
        self._preprocessing = preprocessing
        self._runtime = runtime

    def __len__(self) -> int:
        """Steps of an epoch."""
        return len(self._loader)

    def epoch(self, epoch: int, start_step: int = 0) -> Iterator[Inputs]:
        """The steps of `epoch` from `start_step` on; raises DataError where an image cannot be read."""
        for batch in self._loader.epoch(epoch, start_step):
            squares = torch.split(batch.images, batch.images.shape[3], dim=2)
            views = [normalize(self._runtime.place_images(square), self._preprocessing) for square in squares]
            yield Inputs(views=tuple(views), labels=batch.labels, indices=batch.indices)
