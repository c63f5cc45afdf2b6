"""Heads on frozen features: train a grid of them, choose by held-out rows, and keep the best for its features only."""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from finegrain.errors import CheckpointError, DataError, fault
from finegrain.features.solver import SettingT, Solver

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class HeadScore(Generic[SettingT]):
    """One head of the grid, judged on the rows that its split held out."""

    setting: SettingT
    split: int
    """Row of the train masks; heads of one setting differ in nothing else."""
    accuracy: float
    """In [0, 1]."""
    log_loss: float
    """Mean cross-entropy with the true class, without smoothing, in nats; infinite where training diverged."""
    converged: bool | None
    """Whether it reached the optimum of its objective; None where training looks for none."""
    iterations: int


@dataclass(frozen=True, kw_only=True, slots=True)
class HeadFit(Generic[SettingT]):
    """The chosen head, fitted on all rows."""

    head: nn.Module
    """Reads raw features [B, D], gives logits [B, K]; for linear kinds an nn.Linear, weight [K, D] and bias [K]."""
    features_key: str
    """Of the features it was fitted on; it reads no others."""
    setting: SettingT
    converged: bool | None
    scores: tuple[HeadScore[SettingT], ...]
    """Of the whole grid, which the setting was chosen from."""

    def predict(self, features: Tensor, *, features_key: str) -> Tensor:
        """Logits [B, K] of raw features [B, D].

        Raises:
            CheckpointError: The features are not of the key that the head was fitted on.
        """
        if features_key != self.features_key:
            raise CheckpointError(
                fault(
                    "the head was fitted on other features",
                    got=f"features of key {features_key}",
                    expected=f"key {self.features_key}",
                    remedy="extract them with the network the head was fitted on, or fit a head on these",
                )
            )
        with torch.inference_mode():
            logits: Tensor = self.head(features.float())
        return logits


def score_heads(
    solver: Solver[SettingT],
    features: Tensor,
    labels: Tensor,
    *,
    train: Tensor,
    num_classes: int,
    device: torch.device | None = None,
) -> list[HeadScore[SettingT]]:
    """Train a head for every setting and split and judge each on the rows that its split holds out.

    Args:
        solver: `LogisticGrid` or `MiniBatchGrid`.
        features: Float [N, D].
        labels: int64 [N], in [0, K).
        train: bool [S, N], the train rows of S different splits; all other rows are held out.
        num_classes: K.
        device: Where to compute; None: where the features lie.

    Raises:
        ConfigError: A value of the grid is not allowed.
        DataError: Shapes, labels or splits do not fit together, or a train row is not finite.
    """
    _check_rows(features, labels, num_classes)
    _check_splits(labels, train)
    device = device or features.device
    features, labels, train = features.to(device, torch.float32), labels.to(device), train.to(device)
    scores: list[HeadScore[SettingT]] = []
    for trained in solver.fit(features, labels, train=train, num_classes=num_classes):
        if not scores or scores[-1].split != trained.split:
            held_out = ~train[trained.split]
            unseen, truth = features[held_out], labels[held_out]
        with torch.inference_mode():
            logits = trained.head(unseen).double()
        scores.append(
            HeadScore(
                setting=trained.setting,
                split=trained.split,
                accuracy=float((logits.argmax(1) == truth).double().mean()),
                log_loss=float(F.cross_entropy(logits, truth).nan_to_num(math.inf, math.inf)),
                converged=trained.converged,
                iterations=trained.iterations,
            )
        )
    return scores


def best_setting(scores: Sequence[HeadScore[SettingT]]) -> SettingT:
    """The setting of the best mean accuracy over splits; of equals, that of the least mean log-loss."""
    by_setting: dict[SettingT, list[HeadScore[SettingT]]] = {}
    for score in scores:
        by_setting.setdefault(score.setting, []).append(score)

    def rank(setting: SettingT) -> tuple[float, float]:
        rows = by_setting[setting]
        hits = sum(row.accuracy for row in rows) / len(rows)
        return round(hits, 12), -sum(row.log_loss for row in rows) / len(rows)

    return max(by_setting, key=rank)


def fit_best(
    solver: Solver[SettingT],
    features: Tensor,
    labels: Tensor,
    *,
    train: Tensor,
    num_classes: int,
    features_key: str,
    device: torch.device | None = None,
) -> HeadFit[SettingT]:
    """Choose a setting on held-out rows, then fit it on all rows.

    Args:
        solver: `LogisticGrid` or `MiniBatchGrid`.
        features: Float [N, D]; raw.
        labels: int64 [N], in [0, K).
        train: bool [S, N], the splits to choose by.
        num_classes: K.
        features_key: Of `features`; the head will refuse others.
        device: Where to compute; None: where the features lie.

    Returns:
        The head on the CPU, with the scores of the whole grid.

    Raises:
        ConfigError: A value of the grid is not allowed.
        DataError: Shapes, labels or splits do not fit together, or a row is not finite.
    """
    scores = score_heads(solver, features, labels, train=train, num_classes=num_classes, device=device)
    setting = best_setting(scores)
    device = device or features.device
    everything = torch.ones(1, len(labels), dtype=torch.bool, device=device)
    (trained,) = solver.only(setting).fit(
        features.to(device, torch.float32), labels.to(device), train=everything, num_classes=num_classes
    )
    chosen = [score.accuracy for score in scores if score.setting == setting]
    logger.debug("head: %s, held-out accuracy %.4f over %d splits", setting, sum(chosen) / len(chosen), len(chosen))
    if trained.converged is False:
        logger.warning("head: stopped short of its optimum after %d iterations", trained.iterations)
    return HeadFit(
        head=trained.head.cpu(),
        features_key=features_key,
        setting=setting,
        converged=trained.converged,
        scores=tuple(scores),
    )


def _check_rows(features: Tensor, labels: Tensor, num_classes: int) -> None:
    if features.ndim != 2 or labels.shape != features.shape[:1] or not len(labels):
        raise DataError(
            fault(
                "features and labels do not fit together",
                got=f"shapes {list(features.shape)} and {list(labels.shape)}",
                expected="[N, D] and [N], N ≥ 1",
                remedy="give one row and one label an image",
            )
        )
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= num_classes:
        raise DataError(
            fault(
                "labels are out of range",
                got=f"labels {low} to {high}",
                expected=f"0 to {num_classes - 1}",
                remedy="number the classes from 0 and give their number",
            )
        )


def _check_splits(labels: Tensor, train: Tensor) -> None:
    shape_fits = train.ndim == 2 and train.dtype == torch.bool and len(train) > 0 and train.shape[1] == len(labels)
    if not shape_fits:
        raise _split_error(f"{train.dtype} {list(train.shape)}", f"torch.bool [S, {len(labels)}], S ≥ 1")
    for split, mask in enumerate(train.to(labels.device)):
        if mask.all():
            raise _split_error(f"split {split} with every row in train", "rows to judge by in every split")
        if len(torch.unique(labels[mask])) < 2:
            raise _split_error(f"split {split} with fewer than two classes in train", "two or more in every split")
    if len(torch.unique(train, dim=0)) < len(train):
        # The optimum has no seed: two equal splits would pass off one result as two.
        raise _split_error("two splits with the same train rows", "different splits")


def _split_error(got: str, expected: str) -> DataError:
    remedy = "make the train masks with a splitter such as RepeatedStratifiedKFold"
    return DataError(fault("splits cannot be used", got=got, expected=expected, remedy=remedy))
