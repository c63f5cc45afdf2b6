"""Confidence intervals of proportions."""

import math
from statistics import NormalDist


def wilson(successes: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a proportion (Wilson, JASA 1927).

    Args:
        successes: How many of the trials, in [0, n].
        n: Number of trials; with none, anything is possible: (0, 1).
        confidence: Coverage, in (0, 1).

    Returns:
        Lower and upper end, in [0, 1].

    Raises:
        ValueError: `successes` outside [0, n], or `confidence` outside (0, 1).
    """
    if not 0 <= successes <= n or not 0 < confidence < 1:
        raise ValueError(f"no proportion: {successes} of {n} at confidence {confidence}")
    if n == 0:
        return 0.0, 1.0
    z2 = NormalDist().inv_cdf((1 + confidence) / 2) ** 2
    half = math.sqrt(z2 * (successes * (n - successes) / n + z2 / 4))

    def low(k: int) -> float:
        return (k + z2 / 2 - half) / (n + z2)

    return low(successes), 1 - low(n - successes)  # By symmetry, so that both ends are exact: 0 for none, 1 for all.
