"""Multinomial logistic regression of one split, from strong to weak L2 penalties."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from finegrain.features.curvature import Curvature
from finegrain.features.lbfgs import History, Inverse, dot

_MEMORY = 10
"""Steps that L-BFGS remembers: fewer lose what one strength teaches the next, more take longer to read."""
_FLAT = 0.1
"""A line search ends where the slope is this share of that at its start."""
_SEARCHES = 20
"""Points that a line search may try."""
_TINY = torch.finfo(torch.float32).tiny
_RUN, _DEPTH = 50, 1e-4
"""Most steps at a stretch, fewer where what is left to gain has come down to this share, which rounding may hide."""
_GAIN = 2.0
"""At every stretch what is left to gain must fall by this factor: else rounded products, then the descent, end."""


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

    By L-BFGS, preconditioned by `Curvature`. From one C to the next the solution and the remembered curvature carry
    over, the latter exactly, since the penalty's own Hessian is known. A step costs two products with the features; its
    line search none, as logits are linear in it.

    Steps may be computed with products rounded to bf16: from a gradient in fp32 on, only its changes are rounded. What
    that may hide adds up; once it is more than the tolerance, logits and gradient are computed anew in fp32, which
    decides whether anything is left to gain.

    Args:
        rows: Standardised train rows, float32 [n, D + 1], with a last column of ones.
        targets: float32 [n, K], rows summing to one.
        rounded: Whether products may be rounded to bf16.
        tolerance: Converged where a step promises to lower the loss by less than this share.
        max_iterations: At one C.
    """

    _logits: Tensor
    _probabilities: Tensor
    _slope: Tensor
    _doubt: float

    def __init__(self, rows: Tensor, targets: Tensor, *, rounded: bool, tolerance: float, max_iterations: int) -> None:
        self._rows, self._targets = rows, targets
        self._products = rows.bfloat16() if rounded else rows
        self._tolerance, self._max_iterations = tolerance, max_iterations
        self._curvature = Curvature(rows, self._products)
        self._weight = rows.new_zeros(targets.shape[1], rows.shape[1])
        self._penalty = rows.new_zeros(rows.shape[1])
        self._history = History(_MEMORY)
        self._logits = torch.zeros_like(targets)
        self._differentiate()

    def solve(self, strengths: Sequence[float]) -> Iterator[PathPoint]:
        """Minimise at every C, in ascending order; each positive."""
        for strength in sorted(strengths):
            penalty = torch.full_like(self._penalty, 1 / strength)
            penalty[-1] = 0
            self._history.shift(penalty - self._penalty)
            # The same error of the gradient promises more where the penalty is weaker.
            self._doubt *= max(1.0, float(self._penalty[0] / penalty[0]))
            self._penalty = penalty
            converged, iterations = self._minimize()
            yield PathPoint(strength=strength, weight=self._weight.clone(), converged=converged, iterations=iterations)

    def _minimize(self) -> tuple[bool, int]:
        """Whether it converged, and in how many iterations."""
        inverse = self._curvature.inverse(self._uncertainty(), self._penalty)
        iterations, before = 0, math.inf
        enough = self._enough()
        while True:
            if self._doubt > enough:
                self._logits = self._rows @ self._weight.T
                self._differentiate()
            gradient = self._slope + self._penalty * self._weight
            direction = self._history.direction(gradient, inverse)
            promise = float(dot(gradient, direction))
            if not promise > enough or iterations >= self._max_iterations:
                return abs(promise) <= enough, iterations
            if promise > before / _GAIN:
                if self._products is self._rows:
                    return False, iterations
                self._products = self._rows
            before = promise
            limit = min(_RUN, self._max_iterations - iterations)
            goal = max(enough, _DEPTH * promise)
            steps, left = self._descend(gradient, direction, inverse, goal, limit)
            iterations += steps
            self._doubt += _DEPTH * promise if left <= goal else math.inf
            enough = self._enough()
            if max(abs(left), self._doubt) <= enough:
                return True, iterations

    def _descend(
        self, gradient: Tensor, direction: Tensor, inverse: Inverse, enough: float, limit: int
    ) -> tuple[int, float]:
        """Step against `direction`, and on until a step promises no more than `enough`; how many, the last promise."""
        promise, steps = float(dot(gradient, direction)), 0
        while enough < promise < math.inf and steps < limit:
            before = self._probabilities
            step = self._step(direction, promise)
            # Rounding the change of the probabilities, not themselves, lets the error vanish with the step.
            turn = self._probabilities - before
            change = (turn.to(self._products.dtype).T.contiguous() @ self._products).float()
            change[:, -1] = turn.sum(0)  # exact for the bias, which no penalty would hold back
            change += self._penalty * step
            self._history.append(step, change)
            gradient = gradient + change
            direction = self._history.direction(gradient, inverse)
            promise, steps = float(dot(gradient, direction)), steps + 1
        self._slope = gradient - self._penalty * self._weight
        return steps, promise

    def _step(self, direction: Tensor, promise: float) -> Tensor:
        """Step against `direction` to where the slope is nearly zero, by Newton's method within a bracket; the step."""
        move = (self._products @ direction.T.to(self._products.dtype)).float()
        penalty = self._penalty * direction
        constant = float(dot(self._targets, move) - dot(penalty, self._weight))
        quadratic = float(dot(penalty, direction))
        length, low, high = 1.0, 0.0, math.inf
        for _ in range(_SEARCHES):
            tried = length
            logits = torch.sub(self._logits, move, alpha=tried)
            probabilities = logits.softmax(1)
            slope = length * quadratic + constant - float(dot(probabilities, move))
            if abs(slope) <= _FLAT * promise:
                break
            low, high = (low, length) if slope > 0 else (length, high)
            weighted = probabilities * move
            curvature = quadratic + float(dot(weighted, move) - weighted.sum(1).square().sum())
            newton = length - slope / max(curvature, _TINY)
            end = min(high, 2 * length)  # where classes lie apart, the curvature vanishes far out
            length = newton if low < newton < end else end if high == math.inf else (low + high) / 2
        step = direction * -tried  # where no point would do, the last of which the logits are known
        self._weight = self._weight + step
        self._logits, self._probabilities = logits, probabilities
        return step

    def _differentiate(self) -> None:
        """The gradient of the cross-entropy at the logits, in fp32."""
        self._probabilities = self._logits.softmax(1)
        self._slope = (self._probabilities - self._targets).T @ self._rows
        self._doubt = 0.0

    def _enough(self) -> float:
        """The promise at which the descent has converged."""
        loss = self._logits.logsumexp(1).sum() - dot(self._logits, self._targets)
        loss += dot(self._penalty * self._weight, self._weight) / 2
        # L-BFGS sees less than the whole decrease: half of it is a Newton step's.
        return 2 * self._tolerance * float(loss)

    def _uncertainty(self) -> Tensor:
        """The Hessian of a row's cross-entropy by its own logits, as the mean over rows and classes; a scalar."""
        return (1 - self._probabilities.square().sum(1)).mean() / self._targets.shape[1] + _TINY
