"""The one source of chance, of initial weights and of dropout."""

import numpy as np

_generators = [np.random.default_rng(0)]


def manual_seed(seed: int) -> None:
    """Begin again with the numbers of this seed; they are NumPy's, not torch's."""
    _generators[0] = np.random.default_rng(seed)


def generator() -> np.random.Generator:
    """Where the next numbers come from."""
    return _generators[0]
