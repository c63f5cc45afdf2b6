"""Ways to look at an image, each with a key of its own: as in evaluation, another square of it, or by chance."""

import hashlib
import random
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from finegrain.data.pipelines import EvalView
from finegrain.data.transforms import AugmentConfig, Transform, Views, eval_transform, eval_views
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
class Shown:
    """Another square of the image."""

    square: EvalView

    def key(self, image: bytes) -> bytes:
        """Of the image and of where the square lies."""
        return hashlib.sha256(image + repr(tuple(self.square)).encode()).digest()

    def transform(self, preprocessing: Preprocessing) -> Transform:
        """Evaluation's, of this square."""
        return eval_transform(preprocessing, (self.square,))


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


def evaluation_views(preprocessing: Preprocessing, views: Views) -> tuple[View, ...]:
    """The views that evaluation averages over; one that is `Plain` keeps the key of `Plain`."""
    (plain,) = eval_views(preprocessing, "plain")
    return tuple(Plain() if square == plain else Shown(square) for square in eval_views(preprocessing, views))


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
