import math

import pytest
import torch

from finegrain.losses.label_smoothing import LabelSmoothing


def test_hand_computed() -> None:
    logits = torch.tensor([[math.log(2), 0.0, 0.0]])  # (2, 1, 1) / 4
    loss = LabelSmoothing(smoothing=0.3).build([1, 1, 1])(logits, torch.tensor([0]))
    assert float(loss) == pytest.approx(0.8 * math.log(2) + 0.2 * math.log(4))


def test_zero_smoothing_is_cross_entropy() -> None:
    logits, labels = torch.randn(5, 4, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 2, 3, 0])
    loss = LabelSmoothing(smoothing=0.0).build([1] * 4)(logits, labels)
    torch.testing.assert_close(loss, torch.nn.functional.cross_entropy(logits, labels))


def test_the_sure_answer_is_not_the_best_one() -> None:
    loss, labels = LabelSmoothing(smoothing=0.1).build([1, 1]), torch.tensor([0])
    sure, apt = torch.tensor([[50.0, 0.0]]), torch.tensor([[math.log(0.95), math.log(0.05)]])
    assert loss(apt, labels) < loss(sure, labels)
