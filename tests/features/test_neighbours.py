from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from finegrain.data.base import Sample
from finegrain.features.neighbours import MOST_COMPARED, nearest

ANGLES = {"query": 0, "near": 10, "far": 80, "other": 30, "opposite": 180}


def sample(path: str, label: int = 0) -> Sample:
    return Sample(path=path, label=label)


def see(samples: Sequence[Sample]) -> Tensor:
    """Features of any length, at the angle of their name."""
    angles = torch.deg2rad(torch.tensor([float(ANGLES[s.path]) for s in samples]))
    return torch.stack([angles.cos(), angles.sin()], dim=1) * torch.arange(1, len(samples) + 1)[:, None]


POOL = (sample("far"), sample("near"), sample("other", 1), sample("opposite", 2))


def test_the_nearest_of_each_class_by_cosine() -> None:
    found = nearest([(sample("query"), 0), (sample("query"), 1), (sample("query"), 2)], POOL, see=see)
    assert [near and near.sample.path for near in found] == ["near", "other", "opposite"]
    assert [near and near.among for near in found] == [2, 1, 1]
    cosines = [near.cosine for near in found if near]
    assert cosines == pytest.approx([0.98481, 0.86603, -1.0], abs=1e-5)


def test_an_image_is_not_its_own_neighbour() -> None:
    (found,) = nearest([(sample("near"), 0)], POOL, see=see)
    assert found is not None
    assert (found.sample.path, found.among) == ("far", 1)


def test_a_class_without_other_images_has_no_neighbour() -> None:
    assert nearest([(sample("query"), 7), (sample("other", 1), 1)], POOL, see=see) == [None, None]


def test_only_what_matters_is_computed_once() -> None:
    calls: list[list[str]] = []

    def note(samples: Sequence[Sample]) -> Tensor:
        calls.append([s.path for s in samples])
        return see(samples)

    nearest([(sample("query"), 0), (sample("query"), 0)], POOL, see=note)
    assert calls == [["query", "far", "near"]]
    assert nearest([], POOL, see=note) == []
    assert len(calls) == 1


def test_of_a_large_class_a_part_is_looked_through() -> None:
    pool = [sample(f"{number}") for number in range(10 * MOST_COMPARED)]
    (found,) = nearest([(sample("query", 1), 0)], pool, see=lambda samples: torch.ones(len(samples), 2))
    assert found is not None
    assert found.among == MOST_COMPARED
    seen: list[int] = []

    def note(samples: Sequence[Sample]) -> Tensor:
        seen.extend(int(s.path) for s in samples[1:])
        return torch.ones(len(samples), 2)

    nearest([(sample("query", 1), 0)], pool, see=note)
    assert (seen[0], seen[-1], len(set(seen))) == (0, len(pool) - 1, MOST_COMPARED)
