"""Exact copies of one image: they are never on both sides of a split, where they would be learned by heart."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from finegrain.data.base import Dropped, Sample, Split
from finegrain.errors import fault

_FIRST: tuple[Split, ...] = ("test", "val", "train")
"""In which split a copied image stays: where it is judged, before where it is learned from."""

Copies = tuple[Sample, ...]
"""Two or more samples of the same pixels."""


def find_copies(samples: Sequence[Sample], digests: Mapping[str, bytes]) -> list[Copies]:
    """Samples of the same pixels, put together.

    Args:
        samples: In any order, which is kept.
        digests: Of the pixels, by path.
    """
    alike: dict[bytes, list[Sample]] = defaultdict(list)
    for sample in samples:
        alike[digests[sample.path]].append(sample)
    return [tuple(found) for found in alike.values() if len(found) > 1]


def straddling(copies: Iterable[Copies]) -> list[Dropped]:
    """Which samples would have to go for the splits that the dataset ships to be disjoint in pixels too."""
    dropped = []
    for found in copies:
        first = min(found, key=lambda sample: _FIRST.index(sample.split or "train"))
        for sample in found:
            if (sample.split or "train") != (first.split or "train"):
                what = f"{sample.path} is a copy of an image of another split"
                remedy = "delete one of them"
                reason = fault(what, got=first.path, expected="splits without a common image", remedy=remedy)
                dropped.append(Dropped(path=sample.path, reason=reason))
    return dropped


def group_copies(samples: Sequence[Sample], copies: Iterable[Copies]) -> tuple[Sample, ...]:
    """The samples with each image's copies, and the groups that these belong to, in one group."""
    places = {sample.path: place for place, sample in enumerate(samples)}
    tied = [[places[sample.path] for sample in found if sample.path in places] for found in copies]
    new = {place for found in tied for place in found}
    groups: dict[str, list[int]] = defaultdict(list)
    for place, sample in enumerate(samples):
        if sample.group is not None:
            groups[sample.group].append(place)
    edges = np.array([pair for found in (*tied, *groups.values()) for pair in pairwise(found)]).reshape(-1, 2).T
    size = len(samples)
    _, components = connected_components(coo_array((np.ones(edges.shape[1]), edges), shape=(size, size)))
    renamed = {int(components[place]): f"copies of {samples[place].path}" for place in sorted(new, reverse=True)}
    return tuple(
        replace(sample, group=renamed.get(int(component), sample.group))
        for sample, component in zip(samples, components, strict=True)
    )


def notes_on(copies: Sequence[Copies], class_names: Sequence[str]) -> list[str]:
    """What a reader must know of the copies that stay."""
    notes = []
    if copies:
        many, example = sum(map(len, copies)) - len(copies), " and ".join(sample.path for sample in copies[0][:2])
        notes.append(f"{many} images are exact copies of others (e.g. {example}); copies lie in one split.")
    unlike = [found for found in copies if len({sample.label for sample in found}) > 1]
    if unlike:
        example = ", ".join(f"{sample.path} as {class_names[sample.label]}" for sample in unlike[0][:3])
        notes.append(f"{len(unlike)} images carry several labels, of which all but one are wrong (e.g. {example}).")
    return notes
