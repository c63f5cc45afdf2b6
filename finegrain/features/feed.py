"""What the frozen part of a network gave for each image, in the order in which the images would have come."""

from collections.abc import Iterator, Sequence

import torch

from finegrain.data.base import Sample
from finegrain.data.feed import Inputs
from finegrain.data.loader import batches
from finegrain.features.extract import Features
from finegrain.runtime import Runtime


class CachedFeed:
    """Rows of features as the batches of a `Loader` with the same settings.

    Args:
        features: Of `samples`. In training an epoch shows one view, the views taking turns; otherwise all at once.
        samples: What they are features of.
        batch_size: Rows of a step.
        seed: Of the order.
        train: Shuffle, and leave a last single image out.
        runtime: Gives the device and the memory format.
    """

    def __init__(
        self,
        features: Features,
        *,
        samples: Sequence[Sample],
        batch_size: int,
        seed: int,
        train: bool,
        runtime: Runtime,
    ) -> None:
        self.samples, self.batch_size = samples, batch_size
        self._features = features
        self._seed = seed
        self._train = train
        self._runtime = runtime

    def __len__(self) -> int:
        """Steps of an epoch."""
        return len(batches(len(self.samples), batch_size=self.batch_size, train=self._train))

    def epoch(self, epoch: int, start_step: int = 0) -> Iterator[Inputs]:
        """The steps of `epoch` from `start_step` on: views float32 [B, ...]."""
        views = [epoch % self._features.views] if self._train else range(self._features.views)
        labels = torch.tensor([sample.label for sample in self.samples])
        order = batches(len(self.samples), batch_size=self.batch_size, train=self._train, seed=self._seed, epoch=epoch)
        for indices in order[start_step:]:
            rows = [self._runtime.place_images(self._features.take(indices.tolist(), view)).float() for view in views]
            places = torch.from_numpy(indices)
            yield Inputs(views=tuple(rows), labels=labels[places], indices=places)
