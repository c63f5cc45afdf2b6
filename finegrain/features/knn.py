"""k nearest neighbours by cosine: what features tell without training anything."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from finegrain.errors import ConfigError, fault


def knn_votes(
    query: Tensor,
    features: Tensor,
    labels: Tensor,
    *,
    ks: Sequence[int],
    num_classes: int,
    temperature: float | None = 0.07,
    rows_at_once: int = 1024,
) -> dict[int, Tensor]:
    """Shares of the votes of the k nearest train rows for each class, for every k of a grid from one search.

    A neighbour of cosine s weighs exp(s / temperature) (Wu et al., "Unsupervised Feature Learning via Non-Parametric
    Instance Discrimination", CVPR 2018).

    Args:
        query: float [Q, D].
        features: Train rows, float [N, D], on the same device.
        labels: int64 [N], in [0, K).
        ks: Numbers of neighbours, in [1, N].
        num_classes: K.
        temperature: None: every neighbour weighs the same.
        rows_at_once: Queries compared with all train rows at once; bounds the memory.

    Returns:
        By k, float32 [Q, K], rows summing to one.

    Raises:
        ConfigError: A k is out of range, or the temperature is not positive.
    """
    if not ks or not all(1 <= k <= len(features) for k in ks):
        raise ConfigError(
            fault(
                "numbers of neighbours",
                got=list(ks),
                expected=f"one or more in [1, {len(features)}], the train rows",
                remedy="choose other ks",
            )
        )
    if temperature is not None and not temperature > 0:
        raise ConfigError(
            fault("temperature of the vote", got=temperature, expected="> 0 or None", remedy="set it to 0.07")
        )
    known = F.normalize(features.float(), dim=1)
    votes: dict[int, list[Tensor]] = {k: [] for k in ks}
    for rows in torch.split(query.float(), rows_at_once):
        cosines, nearest = (F.normalize(rows, dim=1) @ known.T).topk(max(ks), dim=1)
        weights = torch.ones_like(cosines) if temperature is None else ((cosines - cosines[:, :1]) / temperature).exp()
        for k in ks:
            tally = weights.new_zeros(len(rows), num_classes).scatter_add_(1, labels[nearest[:, :k]], weights[:, :k])
            votes[k].append(tally / tally.sum(1, keepdim=True))
    return {k: torch.cat(parts) for k, parts in votes.items()}
