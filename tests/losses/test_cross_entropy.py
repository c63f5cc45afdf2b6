import math

import pytest
import torch
from torch.nn import functional

from finegrain.losses.cross_entropy import CrossEntropy, CrossEntropyLoss

LOGITS = torch.tensor([[math.log(2), 0.0, 0.0], [0.0, math.log(6), 0.0]])  # rows (2, 1, 1)/4 and (1, 6, 1)/8


def test_hand_computed() -> None:
    loss = CrossEntropy().build([1, 1, 1])(LOGITS, torch.tensor([0, 2]))
    assert float(loss) == pytest.approx((math.log(2) + math.log(8)) / 2)


def test_hand_computed_with_weights() -> None:
    loss = CrossEntropyLoss(torch.tensor([3.0, 1.0, 1.0]))(LOGITS, torch.tensor([0, 2]))
    assert float(loss) == pytest.approx((3 * math.log(2) + math.log(8)) / 4)


def test_hand_computed_mixture_with_weights() -> None:
    target = torch.tensor([[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]])
    loss = CrossEntropyLoss(torch.tensor([3.0, 1.0, 1.0]))(LOGITS, target)
    total = 1.5 * math.log(2) + 0.5 * math.log(4) + math.log(8)
    assert float(loss) == pytest.approx(total / (1.5 + 0.5 + 1))


@pytest.mark.parametrize("weight", [None, torch.tensor([0.5, 2.0, 1.0])])
@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_torchs_for_class_indices(weight: torch.Tensor | None, smoothing: float) -> None:
    labels = torch.tensor([1, 2])
    expected = functional.cross_entropy(LOGITS, labels, weight, label_smoothing=smoothing)
    torch.testing.assert_close(CrossEntropyLoss(weight, label_smoothing=smoothing)(LOGITS, labels), expected)


def test_torchs_for_probabilities() -> None:
    target = torch.tensor([[0.2, 0.3, 0.5], [0.9, 0.1, 0.0]])
    torch.testing.assert_close(CrossEntropyLoss()(LOGITS, target), functional.cross_entropy(LOGITS, target))
