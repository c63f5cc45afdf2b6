"""Penalties on the trainable weights: L1, Lp, and the distance from the weights that training started from."""

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from torch import Tensor, nn

from finegrain.config import NonNegative, Range
from finegrain.optim.groups import LayeredModel, in_module, is_weight


@dataclass(kw_only=True, slots=True)
class PenaltyConfig:
    """Terms added to the loss of every step, over trainable weights only."""

    l1: NonNegative = 0.0
    """Coefficient of `Σ |w|`."""
    lp: NonNegative = 0.0
    """Coefficient of `Σ |w|^p`, or of `max |w|` when p is inf."""
    p: Literal["inf"] | Annotated[float, Range(least=1)] = 2.0
    """Exponent of `lp`: a number ≥ 1 or inf."""
    l2_sp: NonNegative = 0.0
    """α = β of L2-SP (Li et al., ICML 2018, arXiv:1802.01483): `α/2 Σ (w - w_start)²`, w_start being 0 in the head."""
    norms_and_biases: bool = False
    """Penalise norms, biases, position embeddings and tokens too."""

    def build(self, model: LayeredModel) -> "Penalty":
        """Make the penalty of the trainable parameters.

        L2-SP pulls towards the values that the parameters have now: call this before training or resuming.
        """
        named = [
            (name, parameter)
            for name, parameter in model.named_parameters()
            if parameter.requires_grad and (self.norms_and_biases or is_weight(name, parameter))
        ]
        weights = [parameter for _, parameter in named]
        starts = [w.new_zeros(()) if in_module(name, model.head_name) else w.detach().clone() for name, w in named]
        return Penalty(self, weights=weights, starts=starts if self.l2_sp > 0 else [])


class Penalty:
    """Maps the current weights to a scalar; differentiable."""

    def __init__(self, config: PenaltyConfig, *, weights: Sequence[nn.Parameter], starts: Sequence[Tensor]) -> None:
        """Penalise `weights`; `starts` are what L2-SP pulls each of them to, and needed for it only."""
        self._config, self._weights, self._starts = config, weights, starts

    def watch(self, images: Tensor) -> AbstractContextManager[None]:
        """Entered around each forward pass of training, on `images`; weights need no watching."""
        return nullcontext()

    def __call__(self) -> Tensor | None:
        """The weighted sum of the terms; None where there is nothing to add."""
        terms, config, weights = [], self._config, self._weights
        if config.l1 > 0 and weights:
            terms.append(config.l1 * _power_sum(weights, 1.0))
        if config.lp > 0 and weights:
            terms.append(config.lp * (_largest(weights) if config.p == "inf" else _power_sum(weights, config.p)))
        if config.l2_sp > 0 and weights:
            moved = [weight - start for weight, start in zip(weights, self._starts, strict=True)]
            terms.append(config.l2_sp / 2 * _power_sum(moved, 2.0))
        return torch.stack(terms).sum() if terms else None


def _power_sum(tensors: Sequence[Tensor], p: float) -> Tensor:
    """`Σ |w|^p` over all entries."""
    return torch.stack([torch.linalg.vector_norm(tensor, p) for tensor in tensors]).pow(p).sum()


def _largest(tensors: Sequence[Tensor]) -> Tensor:
    """`max |w|` over all entries; entries that share the maximum share its gradient."""
    return torch.stack([torch.linalg.vector_norm(tensor, math.inf) for tensor in tensors]).amax()
