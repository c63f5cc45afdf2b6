"""Multinomial logistic regression of one split, from strong to weak L2 penalties."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from finegrain.features.lbfgs import History, dot

_MEMORY = 20
"""Steps that L-BFGS remembers: fewer lose what one strength teaches the next."""
_FLAT = 0.1
"""A line search ends where the slope is this share of that at its start."""
_JITTER = 1e-4
"""Added to the preconditioner, relative to its mean diagonal: keeps its factorisation stable in fp32."""
_SEARCHES = 20
"""Points that a line search may try."""
_TINY = torch.finfo(torch.float32).tiny
_RUN, _DEPTH = 50, 1e-4
"""Steps between two checks in fp32; fewer where what is left to gain has come down to this share."""
_GAIN = 2.0
"""From check to check what is left to gain must fall by this factor: else rounded products, then the descent, end."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PathPoint:
    """The solution at one strength."""

    strength: float
    weight: Tensor
    """[K, D + 1] on standardised features; the last column is the bias."""
    converged: bool
    iterations: int
    """Spent at this strength."""


class LogisticPath:
    """Minimises scikit-learn's LogisticRegression objective: summed cross-entropy + ||W||² / (2 C), bias not penalised.

    By L-BFGS, preconditioned by the Gram matrix of the features, of which the Hessian is a multiple where penalties
    are strong (Böhning, "Multinomial logistic regression algorithm", 1992). From one C to the next the solution and the
    remembered curvature carry over, the latter exactly, since the penalty's own Hessian is known. A step costs two
    products with the features; its line search none, as logits are linear in it.

    Steps may be computed with products rounded to bf16: from a gradient in fp32 on, only its changes are rounded. Then
    logits and gradient are computed anew in fp32, which decides whether anything is left to gain.

    Args:
        rows: Standardised train rows, float32 [n, D + 1], with a last column of ones.
        targets: float32 [n, K], rows summing to one.
        rounded: Whether products may be rounded to bf16.
        tolerance: Converged where a step promises to lower the loss by less than this share.
        max_iterations: At one C.
    """

    _logits: Tensor
    _residual: Tensor
    _slope: Tensor
    _cross_entropy: float

    def __init__(self, rows: Tensor, targets: Tensor, *, rounded: bool, tolerance: float, max_iterations: int) -> None:
        self._rows, self._targets = rows, targets
        self._products = rows.bfloat16() if rounded else rows
        self._tolerance, self._max_iterations = tolerance, max_iterations
        self._gram = rows.T @ rows
        self._weight = rows.new_zeros(targets.shape[1], rows.shape[1])
        self._penalty = rows.new_zeros(rows.shape[1])
        self._history = History(_MEMORY)
        self._evaluate()

    def solve(self, strengths: Sequence[float]) -> Iterator[PathPoint]:
        """Minimise at every C, in ascending order; each positive."""
        for strength in sorted(strengths):
            penalty = torch.full_like(self._penalty, 1 / strength)
            penalty[-1] = 0
            self._history.shift(penalty - self._penalty)
            self._penalty = penalty
            converged, iterations = self._minimize()
            yield PathPoint(strength=strength, weight=self._weight.clone(), converged=converged, iterations=iterations)

    def _minimize(self) -> tuple[bool, int]:
        """Whether it converged, and in how many iterations."""
        exact = self._inverse_curvature()
        rounded = exact.to(self._products.dtype)
        iterations, before = 0, math.inf
        while True:
            gradient = self._slope + self._penalty * self._weight
            direction = self._history.direction(gradient, exact)
            promise = float(dot(gradient, direction))
            loss = self._cross_entropy + float(dot(self._penalty * self._weight, self._weight)) / 2
            # L-BFGS sees less than the whole decrease: half of it is a Newton step's.
            enough = 2 * self._tolerance * loss
            if not promise > enough or iterations >= self._max_iterations:
                return abs(promise) <= enough, iterations
            if promise > before / _GAIN:
                if self._products is self._rows:
                    return False, iterations
                self._products, rounded = self._rows, exact
            before = promise
            limit = min(_RUN, self._max_iterations - iterations)
            iterations += self._descend(gradient, direction, rounded, max(enough, _DEPTH * promise), limit)
            self._evaluate()

    def _descend(self, gradient: Tensor, direction: Tensor, inverse: Tensor, enough: float, limit: int) -> int:
        """Step against `direction`, and on until a step promises no more than `enough`; how many steps."""
        for iteration in range(limit):
            promise = float(dot(gradient, direction))
            if not enough < promise < math.inf:
                return iteration
            before = self._residual
            step = self._step(direction, promise)
            # Rounding the change of the residual, not the residual, lets the error vanish with the step.
            turn = (self._residual - before).T.contiguous().to(self._products.dtype)
            change = (turn @ self._products).float() + self._penalty * step
            self._history.append(step, change)
            gradient = gradient + change
            direction = self._history.direction(gradient, inverse)
        return limit

    def _step(self, direction: Tensor, promise: float) -> Tensor:
        """Step against `direction` to where the slope is nearly zero, by Newton's method within a bracket; the step."""
        move = (self._products @ direction.T.to(self._products.dtype)).float()
        linear = float(dot(self._penalty * direction, self._weight))
        quadratic = float(dot(self._penalty * direction, direction))
        length, low, high = 1.0, 0.0, math.inf
        for _ in range(_SEARCHES):
            probabilities = (self._logits - length * move).softmax(1)
            self._residual = probabilities - self._targets
            slope = length * quadratic - linear - float(dot(self._residual, move))
            if abs(slope) <= _FLAT * promise:
                break
            low, high = (low, length) if slope > 0 else (length, high)
            weighted = probabilities.mul_(move)
            curvature = quadratic + float(dot(weighted, move) - weighted.sum(1).square().sum())
            newton = length - slope / max(curvature, _TINY)
            end = min(high, 2 * length)  # where classes lie apart, the curvature vanishes far out
            length = newton if low < newton < end else end if high == math.inf else (low + high) / 2
        step = -length * direction
        self._weight, self._logits = self._weight + step, self._logits - length * move
        return step

    def _evaluate(self) -> None:
        """Logits, cross-entropy and its gradient in fp32."""
        self._logits = self._rows @ self._weight.T
        log_probabilities = self._logits.log_softmax(1)
        self._cross_entropy = -float(dot(log_probabilities, self._targets))
        self._residual = log_probabilities.exp_() - self._targets
        self._slope = self._residual.T @ self._rows

    def _inverse_curvature(self) -> Tensor:
        """The inverse of the Hessian's mean over classes, every row given the same weight; [D + 1, D + 1]."""
        uncertainty = (self._residual + self._targets).square().sum(1).neg().add(1) / self._targets.shape[1]
        curvature = self._gram * uncertainty.mean()
        diagonal = curvature.diagonal()
        diagonal += self._penalty + _JITTER * diagonal.mean() + _TINY
        return torch.cholesky_inverse(torch.linalg.cholesky(curvature))
