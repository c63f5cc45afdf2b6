import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier

from finegrain.errors import ConfigError
from finegrain.features.knn import knn_votes


def task() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Queries [30, 5], rows [60, 5], labels [60]."""
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(90, 5, generator=generator)
    return rows[60:], rows[:60], torch.randint(4, (60,), generator=generator)


@pytest.mark.parametrize("temperature", [None, 0.1])
def test_it_votes_as_scikit_learn(temperature: float | None):
    query, rows, labels = task()
    weights = "uniform" if temperature is None else lambda distance: np.exp((1 - distance) / temperature)
    found = knn_votes(query, rows, labels, ks=(1, 5, 60), num_classes=4, temperature=temperature, rows_at_once=7)
    for k, votes in found.items():
        peer = KNeighborsClassifier(n_neighbors=k, metric="cosine", weights=weights).fit(rows.numpy(), labels.numpy())
        np.testing.assert_allclose(votes.numpy(), peer.predict_proba(query.numpy()), atol=1e-5)


def test_a_class_without_rows_gets_no_votes():
    query, rows, labels = task()
    assert knn_votes(query, rows, labels, ks=(9,), num_classes=6)[9][:, 4:].eq(0).all()


@pytest.mark.parametrize("ks", [(), (0,), (61,)])
def test_numbers_of_neighbours_out_of_range_are_refused(ks: tuple[int, ...]):
    query, rows, labels = task()
    with pytest.raises(ConfigError, match=r"numbers of neighbours: .* \[1, 60\]"):
        knn_votes(query, rows, labels, ks=ks, num_classes=4)


def test_a_temperature_that_is_not_positive_is_refused():
    query, rows, labels = task()
    with pytest.raises(ConfigError, match=r"temperature of the vote: got 0.0; expected > 0 or None"):
        knn_votes(query, rows, labels, ks=(1,), num_classes=4, temperature=0.0)
