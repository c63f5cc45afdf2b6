import numpy as np

from finegrain.features.embedding import FEWEST, embed


def test_groups_stay_together_whatever_their_length_and_the_map_is_repeatable() -> None:
    random = np.random.default_rng(0)
    groups = np.repeat(np.arange(3), 20)
    features = np.eye(3, 16)[groups] + 0.05 * random.normal(size=(60, 16))
    features *= random.uniform(1, 100, size=(60, 1))  # t-SNE of the raw features would sort by length
    places = embed(features.astype(np.float32))
    assert places is not None
    assert places.shape == (60, 2)
    distances = np.linalg.norm(places[:, None] - places[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    assert (groups[distances.argmin(axis=1)] == groups).all()
    np.testing.assert_array_equal(places, embed(features.astype(np.float32)))


def test_few_or_equal_features_have_no_map() -> None:
    random = np.random.default_rng(0)
    assert embed(random.normal(size=(FEWEST - 1, 8)).astype(np.float32)) is None
    assert embed(np.ones((50, 8), np.float32)) is None
    assert embed(np.zeros((50, 8), np.float32)) is None
    assert embed(random.normal(size=(50, 1)).astype(np.float32)) is None
    assert embed(random.normal(size=(FEWEST, 2)).astype(np.float32)) is not None
