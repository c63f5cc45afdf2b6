"""The memory of L-BFGS: the last steps, how the gradient changed along them, and the direction they imply."""

from collections import deque
from collections.abc import Callable

import torch
from torch import Tensor

Inverse = Callable[[Tensor], Tensor]
"""The product of an estimate of the inverse Hessian, symmetric, with gradients [K, D]."""


def dot(a: Tensor, b: Tensor) -> Tensor:
    """The inner product of two tensors of one shape, a scalar."""
    return torch.dot(a.flatten(), b.flatten())


class History:
    """What recent steps tell of the inverse Hessian (Nocedal, "Updating quasi-Newton matrices with limited storage").

    Args:
        memory: Steps remembered.
    """

    def __init__(self, memory: int) -> None:
        self._pairs: deque[tuple[Tensor, Tensor, Tensor]] = deque(maxlen=memory)

    def append(self, step: Tensor, change: Tensor) -> None:
        """Remember a step [K, D] and the gradient's change along it; without curvature it counts nothing."""
        product = dot(step, change)
        if product > 0:
            self._pairs.append((step, change, product))

    def shift(self, amount: Tensor) -> None:
        """Account for a new quadratic penalty, whose Hessian differs by the diagonal `amount`."""
        pairs = list(self._pairs)
        self._pairs.clear()
        for step, change, _ in pairs:
            self.append(step, change + amount * step)

    def direction(self, gradient: Tensor, inverse: Inverse) -> Tensor:
        """The inverse Hessian's estimate times `gradient`.

        Args:
            gradient: [K, D], as the steps.
            inverse: A first estimate; scaled here to fit the newest step.
        """
        rest, shares = gradient.clone(), []
        for step, change, product in reversed(self._pairs):
            shares.append(dot(step, rest) / product)
            rest.addcmul_(change, shares[-1], value=-1)
        rest = inverse(rest)
        if self._pairs:
            _, change, product = self._pairs[-1]
            rest *= product / dot(change, inverse(change))
        for (step, change, product), share in zip(self._pairs, reversed(shares), strict=True):
            rest.addcmul_(step, share - dot(change, rest) / product)
        return rest
