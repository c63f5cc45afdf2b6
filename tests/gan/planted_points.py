"""Real and generated images as points: what a generator could give, planted, without any pixel."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from finegrain.data.base import Data, Sample
from finegrain.data.generated import Generated, GeneratedSource

K, D = 6, 24
CLASSES = tuple(f"class_{label}" for label in range(K))
REAL, VAL, TEST, FAKE = 4, 20, 80, 60
"""Images of each class: few to train on."""
Kind = Literal["held out", "noise", "copies", "mislabelled", "half"]


class Planted:
    """Points of K overlapping clouds as images: `features` finds them by path."""

    def __init__(self, kind: Kind, *, seed: int = 0) -> None:
        """Draw real images, and generated ones of a kind.

        Args:
            kind: Real images that were held out; points that have nothing to do with their label; the real train
                images again; real images under labels that were shuffled; half of them real, half noise.
            seed: Of everything.
        """
        self._random = np.random.default_rng(seed)
        self._centres = self._random.normal(size=(K, D)) * 0.55
        self._values: dict[str, NDArray[np.float32]] = {}
        train, val, test = (self._real(name, n) for name, n in (("train", REAL), ("val", VAL), ("test", TEST)))
        ids = {sample.path: sample.path for sample in (*train, *val, *test)}
        self.data = Data(
            train=train, val=val, test=test, class_names=CLASSES, image_ids=ids,
            source=None,  # type: ignore[arg-type]
        )  # fmt: skip
        samples = self._generated(kind)
        self.generated = Generated(
            path=Path("gen/planted"),
            samples=samples,
            class_names=CLASSES,
            asked=(FAKE,) * K,
            source=GeneratedSource(prefix="generated://", files=None),  # type: ignore[arg-type]
            digests={sample.path: sample.path.encode() for sample in samples},
            train_images=frozenset(sample.path for sample in train),
            filter_known=True,
            settings={},
            sha256="ab" * 32,
        )

    def features(self, samples: Sequence[Sample]) -> torch.Tensor:
        """[N, D]."""
        return torch.tensor(np.stack([self._values[sample.path] for sample in samples]))

    def _real(self, name: str, count: int) -> tuple[Sample, ...]:
        samples = tuple(Sample(path=f"{name}/{n}", label=n % K) for n in range(count * K))
        for sample in samples:
            self._put(sample.path, self._centres[sample.label] + self._random.normal(size=D))
        return samples

    def _generated(self, kind: Kind) -> tuple[Sample, ...]:
        samples = tuple(Sample(path=f"generated://{n}", label=n % K) for n in range(FAKE * K))
        shows = self._random.permutation([sample.label for sample in samples])
        for number, sample in enumerate(samples):
            centre = self._centres[shows[number] if kind == "mislabelled" else sample.label]
            point = centre + self._random.normal(size=D)
            if kind == "noise" or (kind == "half" and number % 2):
                point = self._random.normal(size=D) * 1.2
            if kind == "copies":
                copied = self.data.train[sample.label + K * (number // K % REAL)]
                assert copied.label == sample.label
                point = self._values[copied.path]
            self._put(sample.path, point)
        return samples

    def _put(self, path: str, point: NDArray[np.floating]) -> None:
        self._values[path] = point.astype(np.float32)
