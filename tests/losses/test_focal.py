import math

import pytest
import torch
from torch.nn import functional

from finegrain.losses.focal import Focal, FocalLoss

LOGITS = torch.tensor([[math.log(2), 0.0, 0.0], [0.0, math.log(6), 0.0]])  # rows (2, 1, 1)/4 and (1, 6, 1)/8


def test_hand_computed() -> None:
    loss = Focal(gamma=2.0).build([1, 1, 1])(LOGITS, torch.tensor([0, 2]))
    assert float(loss) == pytest.approx((0.5**2 * math.log(2) + 0.875**2 * math.log(8)) / 2)


def test_hand_computed_with_weights() -> None:
    loss = FocalLoss(torch.tensor([3.0, 1.0, 1.0]), gamma=1.0)(LOGITS, torch.tensor([0, 2]))
    assert float(loss) == pytest.approx((3 * 0.5 * math.log(2) + 0.875 * math.log(8)) / 4)


@pytest.mark.parametrize("weight", [None, torch.tensor([0.5, 2.0, 1.0])])
def test_gamma_zero_is_cross_entropy(weight: torch.Tensor | None) -> None:
    labels = torch.tensor([1, 2])
    expected = functional.cross_entropy(LOGITS, labels, weight)
    torch.testing.assert_close(FocalLoss(weight, gamma=0.0)(LOGITS, labels), expected)


def test_sure_images_count_less() -> None:
    sure, unsure = torch.tensor([[4.0, 0.0]]), torch.tensor([[0.1, 0.0]])
    labels = torch.tensor([0])
    ratios = [functional.cross_entropy(x, labels) / FocalLoss(gamma=2.0)(x, labels) for x in (sure, unsure)]
    assert ratios[0] > 1000
    assert ratios[1] < 5


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
def test_gradient_of_a_perfect_answer_is_zero(gamma: float) -> None:
    logits = torch.tensor([[200.0, 0.0]], requires_grad=True)
    FocalLoss(gamma=gamma)(logits, torch.tensor([0])).backward()
    assert logits.grad is not None
    assert logits.grad.abs().max() == 0
