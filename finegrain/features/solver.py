"""What every way of training heads shares: its settings, its results, and features standardised by train rows only."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import torch
from torch import Tensor, nn

from finegrain.errors import DataError, fault


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """One point of a grid of heads."""

    smoothing: float = 0.0
    """Share of every target spread evenly over all classes, in [0, 1)."""


SettingT = TypeVar("SettingT", bound=Setting)


@dataclass(frozen=True, kw_only=True, slots=True)
class Trained(Generic[SettingT]):
    """One head."""

    setting: SettingT
    split: int
    """Row of the train masks it was trained on."""
    head: nn.Module
    """Reads raw features [B, D], gives logits [B, K]."""
    converged: bool | None
    """Whether it reached the optimum of its objective; None where training looks for none."""
    iterations: int
    """Full-batch iterations, or mini-batch steps."""


class Solver(Protocol[SettingT]):
    """Trains a grid of heads on shared features."""

    def fit(self, features: Tensor, labels: Tensor, *, train: Tensor, num_classes: int) -> Iterator[Trained[SettingT]]:
        """Train a head for every setting and split, a few at once; a split's held-out rows are not read.

        Args:
            features: float32 [N, D], on the device to compute on.
            labels: int64 [N], in [0, K), on the same device.
            train: bool [S, N], the train rows of each split, on the same device.
            num_classes: K.
        """
        ...

    def only(self, setting: SettingT) -> "Solver[SettingT]":
        """The same solver for one setting of its grid."""
        ...


@dataclass(frozen=True, slots=True)
class Standardization:
    """The affine map that gives the train rows zero mean and unit variance."""

    mean: Tensor
    """[D]."""
    scale: Tensor
    """[D]; 1 for a constant feature."""

    @classmethod
    def of(cls, rows: Tensor) -> "Standardization":
        """The map for `rows`, float32 [n, D].

        Raises:
            DataError: A value of `rows` is not finite.
        """
        mean = rows.mean(0)
        variance = (rows - mean).square_().mean(0)  # several times as fast as var_mean on CPUs
        if not (mean.isfinite().all() and variance.isfinite().all()):
            broken = int((~rows.isfinite()).any(dim=1).sum())
            raise DataError(
                fault(
                    "features are not usable",
                    got=f"{broken} of {len(rows)} train rows with NaN or infinity, or an overflow of their variance",
                    expected="finite numbers of moderate size",
                    remedy="extract them again with runtime.precision=fp32",
                )
            )
        rounding = torch.finfo(rows.dtype).eps * mean.abs() * len(rows) ** 0.5
        scale = variance.sqrt()
        return cls(mean, torch.where(scale > rounding, scale, torch.ones_like(scale)))

    def apply(self, rows: Tensor) -> Tensor:
        """`rows` [n, D] standardised."""
        return (rows - self.mean) / self.scale

    def fold(self, weight: Tensor, bias: Tensor) -> nn.Linear:
        """The layer on raw features that equals `weight` [K, D], `bias` [K] on standardised ones."""
        raw = weight / self.scale
        return linear(raw, bias - raw @ self.mean)


def linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    """The layer of `weight` [K, D] and `bias` [K], frozen."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], device="meta")
    layer.weight = nn.Parameter(weight.detach().clone(), requires_grad=False)
    layer.bias = nn.Parameter(bias.detach().clone(), requires_grad=False)
    return layer
