"""Carve one split out of another: stratified by class, respecting groups, and stable under any other change."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from finegrain.data.base import Sample


@dataclass(frozen=True, kw_only=True, slots=True)
class Carved:
    """What `carve` made of a pool of samples."""

    kept: tuple[Sample, ...]
    taken: tuple[Sample, ...]


def carve(samples: Sequence[Sample], *, fraction: float, seed: int) -> Carved:
    """Take about `fraction` of each class out of `samples`, whole groups only, as a function of seed and paths.

    A class of n ≥ 2 gives round(fraction · n) images, at least 1 and at most n − 1; a class of one image gives none.
    Groups are taken in the order of a hash of (seed, group) while they bring the classes nearer to those numbers, then
    while they bring the total nearer; never one that would leave a class without an image. An image without a group
    is a group of its own, so that without groups the numbers are met exactly.
    """
    units: dict[str, list[Sample]] = {}
    for sample in samples:
        units.setdefault(f"path {sample.path}" if sample.group is None else f"group {sample.group}", []).append(sample)
    order = sorted(units, key=lambda unit: _hash(f"{seed} {unit}"))
    left = Counter(sample.label for sample in samples)
    missing = {label: _quota(count, fraction) for label, count in left.items()}
    missing_in_all = sum(missing.values())
    chosen: set[str] = set()
    for by_class in (True, False):
        for unit in order:
            counts = Counter(sample.label for sample in units[unit])
            if unit in chosen or any(left[label] <= count for label, count in counts.items()):
                continue
            if by_class:
                gain = sum(abs(missing[label]) - abs(missing[label] - count) for label, count in counts.items())
            else:
                gain = abs(missing_in_all) - abs(missing_in_all - len(units[unit]))
            if gain > 0:
                chosen.add(unit)
                left -= counts
                missing_in_all -= len(units[unit])
                missing.update({label: missing[label] - count for label, count in counts.items()})
    taken = {sample.path for unit in chosen for sample in units[unit]}
    return Carved(
        kept=tuple(sample for sample in samples if sample.path not in taken),
        taken=tuple(sample for sample in samples if sample.path in taken),
    )


def _quota(count: int, fraction: float) -> int:
    return 0 if count < 2 else min(max(int(fraction * count + 0.5), 1), count - 1)


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
