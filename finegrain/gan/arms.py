"""The arms of a verdict: what a classifier is trained on, with generated images and with what could pass for them."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from finegrain.data.base import Data, Sample
from finegrain.data.generated import Generated, mix
from finegrain.metrics.benefit import Arm
from finegrain.runtime import seed_of


def build_arms(data: Data, generated: Generated, *, fraction: float, seed: int) -> Mapping[Arm, Data]:
    """The splits of every arm; val and test are the real ones in all of them.

    Args:
        data: Real images.
        generated: A version.
        fraction: Share of generated images in the arms that have both.
        seed: Chooses the generated images that are taken, the real ones that are doubled, and the shuffled labels.

    Raises:
        DataError: What `mix` refuses: too few images, other classes, a generator that saw val or test.
    """
    real, mixed = data.train, mix(data, generated, fraction=fraction, seed=seed)
    taken = mixed.train[len(real) :]
    everything = mix(data, generated, fraction=None, seed=seed)
    return {
        "real": data,
        "duplicated": dataclasses.replace(data, train=(*real, *_duplicates(real, taken, seed=seed))),
        "synthetic": mixed,
        "shuffled": dataclasses.replace(mixed, train=(*real, *_shuffled(taken, seed=seed))),
        "synthetic only": dataclasses.replace(everything, train=everything.train[len(real) :]),
    }


def _duplicates(real: Sequence[Sample], taken: Sequence[Sample], *, seed: int) -> list[Sample]:
    """As many of `real` as are `taken`, of each class: each once before any is there twice."""
    random = np.random.default_rng(seed_of(seed, "duplicates"))
    found: list[Sample] = []
    for label in dict.fromkeys(sample.label for sample in taken):
        own, number = [s for s in real if s.label == label], sum(s.label == label for s in taken)
        rounds = [random.permutation(len(own)) for _ in range(-(-number // len(own)))]
        found += [own[at] for at in np.concatenate(rounds)[:number]]
    return found


def _shuffled(taken: Sequence[Sample], *, seed: int) -> list[Sample]:
    """The same images with their labels dealt out anew: as many of each class, right by chance alone."""
    order = np.random.default_rng(seed_of(seed, "labels")).permutation(len(taken))
    return [dataclasses.replace(sample, label=taken[at].label) for sample, at in zip(taken, order, strict=True)]
