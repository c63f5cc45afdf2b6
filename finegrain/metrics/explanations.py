"""Whether a map of what speaks for a class is right: by where it points, and by what the model does without it."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

Map = NDArray[np.float32]
"""float [H, W], ≥ 0: how much each pixel speaks for a class."""


def hottest_point(heat: Map) -> tuple[int, int]:
    """Row and column of the middle of the hottest pixels, the nearest of them to their mean.

    A coarse map that was enlarged is flat at the image's border: its first maximum would lie in the corner.
    """
    hottest = np.argwhere(heat >= heat.max() - 1e-6)
    row, column = hottest[np.square(hottest - hottest.mean(axis=0)).sum(axis=1).argmin()]
    return int(row), int(column)


def points_inside(heat: Map, mask: NDArray[np.bool_]) -> bool:
    """The pointing game: whether the map's hottest point lies in `mask` [H, W] (Zhang et al., IJCV 2018)."""
    return bool(mask[hottest_point(heat)])


def energy_inside(heat: Map, mask: NDArray[np.bool_]) -> float:
    """The share of a map's heat that lies in `mask` [H, W] (Wang et al., "Score-CAM", CVPRW 2020).

    In [0, 1]. A map without heat has none anywhere: as if it were the same everywhere, the mask's share of the image.
    """
    total = float(heat.sum())
    return float(heat[mask].sum()) / total if total > 0 else float(mask.mean())


def perturbation_area(
    score: Callable[[NDArray[np.float32]], NDArray[np.float64]],
    start: NDArray[np.float32],
    end: NDArray[np.float32],
    heat: Map,
    *,
    steps: int,
) -> float:
    """Area under the model's score while pixels of `start` are replaced by those of `end`, the hottest first.

    Deletion goes from the image to one without content (low is good), insertion from a blurred image to the image (high
    is good); Petsiuk, Das & Saenko, "RISE", BMVC 2018.

    Args:
        score: Images [N, C, H, W] → what the model gives the class [N], e.g. its probability.
        start: [C, H, W].
        end: [C, H, W].
        heat: [H, W]; equal pixels in reading order.
        steps: Into so many equal parts, to rounding, the pixels are divided.

    Returns:
        The trapezoidal area over the share of pixels replaced, in the score's unit.
    """
    order = np.argsort(-heat, axis=None, kind="stable")
    ranks = np.empty(heat.size, np.int64)
    ranks[order] = np.arange(heat.size)
    counts = np.linspace(0, heat.size, steps + 1).round().astype(np.int64)
    replaced = ranks.reshape(heat.shape) < counts[:, None, None]
    scores = score(np.where(replaced[:, None], end, start))
    return float(np.trapezoid(scores, counts / heat.size))


def rank_correlation(first: Map, second: Map) -> float:
    """Spearman's correlation of two maps of one size, in [−1, 1]; 0 where one of them is the same everywhere.

    A map that hardly changes when the model's weights are randomised does not show what was learned (Adebayo et al.,
    "Sanity Checks for Saliency Maps", NeurIPS 2018).
    """
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return 0.0
    return float(spearmanr(first, second, axis=None).statistic)
