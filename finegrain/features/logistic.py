"""The default solver of heads: multinomial logistic regression to its optimum, for splits × strengths × smoothings."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from finegrain.config import Count, Positive, Probability, check
from finegrain.errors import fault
from finegrain.features.logistic_path import LogisticPath
from finegrain.features.solver import Setting, Standardization, Trained


@dataclass(frozen=True, kw_only=True, slots=True)
class LogisticSetting(Setting):
    """One head of the grid."""

    strength: float
    """C, the inverse strength of the L2 penalty, as in scikit-learn."""


@dataclass(kw_only=True, slots=True)
class LogisticGrid:
    """Linear heads at the optimum of summed cross-entropy + ||W||² / (2 C), on features of unit variance.

    The optimum is unique, so no seed changes it: what varies between heads of one setting is their split.
    A class that a split lacks gets a bias that falls as long as it helps. Splits are fitted one after the other, which
    takes, beside the features, up to four times the memory of the train rows of one, of 8 n K logits and 30 heads.
    """

    strengths: tuple[Positive, ...] = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
    """C, tried from the smallest on: each solution starts the next."""
    smoothings: tuple[Probability, ...] = (0.0,)
    """Label smoothing."""
    tolerance: Positive = 1e-6
    """Stop where the next step promises less, as a share of the loss; 5 to 55 times as much remains, as measured."""
    max_iterations: Count = 500
    """At one strength."""
    precision: Literal["auto", "fp32"] = "auto"
    """auto: steps are computed in bf16 where the device is fast at it and fp32, which decides, agrees."""

    def faults(self) -> list[str]:
        """An empty grid."""
        return [
            fault(f"{name} is empty", got=(), expected="at least one value", remedy=f"set {name}")
            for name in ("strengths", "smoothings")
            if not getattr(self, name)
        ]

    def only(self, setting: LogisticSetting) -> "LogisticGrid":
        """The same solver for one setting."""
        return dataclasses.replace(self, strengths=(setting.strength,), smoothings=(setting.smoothing,))

    def fit(
        self, features: Tensor, labels: Tensor, *, train: Tensor, num_classes: int
    ) -> Iterator[Trained[LogisticSetting]]:
        """Train all heads, one split after the other; see `Solver.fit`.

        Raises:
            ConfigError: A value of the grid is not allowed.
            DataError: A train row is not finite.
        """
        check(self)
        rounded = self.precision == "auto" and _fast_in_bf16(features.device)
        for split, mask in enumerate(train):
            rows = features[mask]
            standardization = Standardization.of(rows)
            rows = torch.cat([standardization.apply(rows), rows.new_ones(len(rows), 1)], dim=1)
            hits = F.one_hot(labels[mask], num_classes).to(rows.dtype)
            for smoothing in self.smoothings:
                path = LogisticPath(
                    rows,
                    (1 - smoothing) * hits + smoothing / num_classes,
                    rounded=rounded,
                    tolerance=self.tolerance,
                    max_iterations=self.max_iterations,
                )
                for point in path.solve(self.strengths):
                    yield Trained(
                        setting=LogisticSetting(strength=point.strength, smoothing=smoothing),
                        split=split,
                        head=standardization.fold(point.weight[:, :-1], point.weight[:, -1]),
                        converged=point.converged,
                        iterations=point.iterations,
                    )


def _fast_in_bf16(device: torch.device) -> bool:
    """Whether products in bf16 are native."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
