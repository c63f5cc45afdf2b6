"""Ways to look at an image, each with a key of its own: as in evaluation, mirrored, or by chance."""

import hashlib
import random
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from finegrain.data.transforms import AugmentConfig, Transform, eval_transform
from finegrain.preprocessing import Preprocessing
from finegrain.runtime import seed_of


class View(Protocol):
    """One way to look at every image."""

    def key(self, image: bytes) -> bytes:
        """32 bytes that name this view of the image of this key."""
        ...

    def transform(self, preprocessing: Preprocessing) -> Transform:
        """What is done to the pixels."""
        ...


@dataclass(frozen=True, slots=True)
class Plain:
    """As in evaluation."""

    def key(self, image: bytes) -> bytes:
        """The image's own."""
        return image

    def transform(self, preprocessing: Preprocessing) -> Transform:
        """Evaluation's."""
        return eval_transform(preprocessing)


@dataclass(frozen=True, slots=True)
class Mirrored:
    """As in evaluation, left and right exchanged."""

    def key(self, image: bytes) -> bytes:
        """Of the image and the word."""
        return hashlib.sha256(image + b"mirrored").digest()

    def transform(self, preprocessing: Preprocessing) -> Transform:
        """Evaluation's, then a flip."""
        return _Flipped(eval_transform(preprocessing))


@dataclass(frozen=True, kw_only=True, slots=True)
class Drawn:
    """An augmented view; what is drawn is a function of (seed, number, pixels), not of the image's place."""

    augment: AugmentConfig
    seed: int
    number: int

    def key(self, image: bytes) -> bytes:
        """Of the image and of all that the draw depends on."""
        return hashlib.sha256(image + repr((self.number, self.seed, self.augment)).encode()).digest()

    def transform(self, preprocessing: Preprocessing) -> Transform:
        """Training's."""
        return _DrawnByContent(self.augment.train_transform(preprocessing), seed_of(self.seed, "view", self.number))


class _Flipped:
    """A transform, then a flip."""

    def __init__(self, transform: Transform) -> None:
        self._transform = transform

    def __call__(self, *, image: NDArray[np.uint8]) -> dict[str, Any]:
        return {"image": self._transform(image=image)["image"][:, ::-1]}

    def set_random_state(self, random_generator: np.random.Generator, py_random: random.Random) -> None:
        """Nothing is drawn."""


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
