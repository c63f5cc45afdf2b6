"""Whether generated images show their classes: recognised by what real images taught, and teaching it themselves."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from finegrain.errors import DataError, fault
from finegrain.features.probe import choose_head
from finegrain.gan.judged import Images
from finegrain.metrics.recognition import Hits, Taught

Labels = NDArray[np.int64]

MOST_TRAININGS = 5
"""Heads trained on a version's images, each on images of its own, where it has so many."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Head:
    """A linear head that knows some of the classes."""

    layer: nn.Module
    classes: Labels
    """What its outputs stand for, labels of the real data [K]."""
    strength: float
    """C, chosen on val."""

    def hits(self, images: Images) -> Hits:
        """Whether each image is taken for its class [N]."""
        with torch.inference_mode():
            rows = self.layer(torch.from_numpy(images.features)).argmax(dim=1).numpy()
        right: Hits = self.classes[rows] == images.labels
        return right


def train_head(train: Images, val: Images) -> Head:
    """Logistic regression on the features, as `probe.choose_head` fits it; only its L2 strength is val's choice.

    Args:
        train: Images of two classes or more, real or generated.
        val: Real ones; those of other classes are left out.

    Raises:
        DataError: Val has no image of these classes.
    """
    classes = np.unique(train.labels)
    judges = val.take(np.flatnonzero(np.isin(val.labels, classes)))
    if not judges.samples:
        remedy = "raise data.val_fraction, or generate more classes"
        raise DataError(fault("no val image to choose a head by", got="none", expected="one or more", remedy=remedy))
    rows = torch.from_numpy(np.concatenate([train.features, judges.features]))
    labels = torch.from_numpy(np.searchsorted(classes, np.concatenate([train.labels, judges.labels])))
    chosen = choose_head(rows, labels, torch.arange(len(rows)) >= len(train.samples))
    return Head(layer=chosen.head, classes=classes, strength=chosen.setting.strength)


def taught_by(trainings: Sequence[Images], *, val: Images, test: Images) -> Taught:
    """What heads trained on each of some sets of images recognise of test."""
    return Taught(
        hits=np.stack([train_head(train, val).hits(test) for train in trainings]),
        labels=test.labels,
        n_train=len(trainings[0].samples),
    )


def separate_trainings(images: Images, counts: Labels, *, seed: int) -> list[Images]:
    """Sets with no image in common, each of so many images of each class: as many as there are, at most a few.

    Args:
        images: Of every class at least its count.
        counts: Of each label [K]; 0 leaves a class out.
        seed: Of what goes where.
    """
    rows = [shuffled(images.labels, label, seed) for label in range(len(counts))]
    enough = min(len(own) // count for own, count in zip(rows, counts, strict=True) if count)
    parts = range(min(enough, MOST_TRAININGS))
    return [
        images.take(np.concatenate([own[part * n : (part + 1) * n] for own, n in zip(rows, counts, strict=True)]))
        for part in parts
    ]


def shuffled(labels: Labels, label: int, seed: int) -> Labels:
    """The rows of one class in an order of chance, a function of the seed, the class and their number."""
    rows = np.flatnonzero(labels == label)
    return np.random.default_rng((seed, label)).permutation(rows)
