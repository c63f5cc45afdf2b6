import numpy as np
import pytest
from scipy.spatial.distance import cdist

from finegrain.errors import DataError
from finegrain.metrics import feature_sets
from finegrain.metrics.feature_sets import Extractor, distances, nearest


def rows(n: int, *, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(3, 1, (n, 5))


def test_distances_are_scipys() -> None:
    first, second = rows(9, seed=0), rows(7, seed=1)
    assert distances(first, second) == pytest.approx(cdist(first, second))
    assert distances(first, first).diagonal() == pytest.approx(np.zeros(9), abs=1e-6)


@pytest.mark.parametrize("block", [1, 20, 2**22])
def test_the_nearest_in_blocks_of_any_size(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(feature_sets, "BLOCK", block)
    first, second = rows(9, seed=0), rows(7, seed=1)
    first[4] = second[6]
    distance, index = nearest(first, second)
    assert index.tolist() == cdist(first, second).argmin(axis=1).tolist()
    assert distance == pytest.approx(cdist(first, second).min(axis=1))
    assert distance[4] == 0  # To the bit: a copy is a copy.


def test_an_extractor_is_its_weights() -> None:
    network = Extractor(name="resnet50", sha256="ab" * 32)
    network.require_same(Extractor(name="resnet50", sha256="ab" * 32))
    for other in (Extractor(name="resnet50", sha256="cd" * 32), Extractor(name="vit", sha256="ab" * 32)):
        with pytest.raises(DataError, match="scores by different extractors cannot be compared: got resnet50"):
            network.require_same(other)
