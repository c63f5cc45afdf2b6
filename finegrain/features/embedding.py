"""Features as a map in the plane."""

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from finegrain.runtime import seed_of

FEWEST = 10
"""Fewer different images have no neighbourhoods to be shown."""
_COMPONENTS = 50
"""What is left of the features before distances are taken: the usual number, and faster."""
_PERPLEXITY = 30.0
"""About how many neighbours of an image count; at most a third of the images."""


def embed(features: NDArray[np.float32]) -> NDArray[np.float64] | None:
    """t-SNE (van der Maaten & Hinton, JMLR 9, 2008) of features of unit length, begun at their first two components.

    Images that lie together have similar features; how far apart groups lie, and how large they are, says little.

    Args:
        features: float [N, D].

    Returns:
        Places [N, 2]; None where fewer than `FEWEST` features differ.
    """
    unit = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    if len(np.unique(unit, axis=0)) < FEWEST:
        return None
    seed = seed_of("feature map") % 2**32
    reduced = PCA(n_components=min(_COMPONENTS, *unit.shape), random_state=seed).fit_transform(unit)
    perplexity = min(_PERPLEXITY, (len(unit) - 1) / 3)
    places: NDArray[np.float64] = TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(reduced)
    return places.astype(np.float64)
