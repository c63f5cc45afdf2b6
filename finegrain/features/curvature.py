"""A preconditioner for logistic regression: the Hessian of the strongest directions of the features, in closed form."""

import torch
from torch import Tensor
from torch.nn import functional as F

from finegrain.features.lbfgs import Inverse, dot

_RANK = 128
"""Directions known one by one; the others count as equally strong, which L-BFGS makes up for."""
_LEAST = 1e-4
"""Of the mean strength of all directions: no direction counts as weaker."""


class Curvature:
    """Hessian = u XᵀX + penalty for every class, which is how it begins (Böhning, "Multinomial logistic regression
    algorithm", 1992); of XᵀX the strongest directions by one power iteration (Halko et al., "Finding structure with
    randomness", 2011).

    Args:
        rows: Centred train rows, float32 [n, D + 1], with a last column of ones.
        products: The same, perhaps in another precision, to compute products with.
    """

    def __init__(self, rows: Tensor, products: Tensor) -> None:
        inner, count, size = products[:, :-1], len(rows), rows.shape[1] - 1
        rank = min(_RANK, size, count)  # more are all noise, in which eigh may find no order
        generator = torch.Generator().manual_seed(0)
        sketch = torch.randn(size, rank, generator=generator).to(products)
        basis, _ = torch.linalg.qr((inner.T @ (inner @ sketch)).float())
        image = (inner @ basis.to(products.dtype)).float()
        strengths, turn = torch.linalg.eigh(image.T @ image)
        total = dot(rows, rows) - count
        least = _LEAST * total / max(size, 1) + torch.finfo(rows.dtype).tiny
        # The bias is a direction of its own: ones are orthogonal to centred features.
        self._directions = F.pad(basis @ turn, (0, 1, 0, 1))
        self._directions[-1, -1] = 1
        self._strengths = torch.cat([strengths, rows.new_tensor([count])]).clamp(min=least)
        self._rest = ((total - strengths.sum()) / max(size - rank, 1)).clamp(min=least)

    def inverse(self, uncertainty: Tensor, penalty: Tensor) -> Inverse:
        """The inverse Hessian.

        Args:
            uncertainty: u, a positive scalar.
            penalty: [D + 1], the same for all but the bias, whose is 0.
        """
        rest = uncertainty * self._rest + penalty[0]
        known = uncertainty * self._strengths + self._directions.square().T @ penalty
        scales, directions = 1 / known - 1 / rest, self._directions
        return lambda gradient: torch.addmm(gradient / rest, (gradient @ directions) * scales, directions.T)
