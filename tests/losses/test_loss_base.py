import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight

from finegrain import config
from finegrain.errors import ConfigError
from finegrain.losses.cross_entropy import CrossEntropy
from finegrain.losses.focal import Focal
from finegrain.losses.label_smoothing import LabelSmoothing

FAMILY = [CrossEntropy(), LabelSmoothing(smoothing=0.2), Focal(gamma=2.0), Focal(gamma=0.5)]
BALANCED = [type(c)(**{**config.flatten(c), "class_weights": "balanced"}) for c in FAMILY]


def test_balanced_weights_are_scikit_learns() -> None:
    counts = [3, 1, 8]
    labels = np.repeat(np.arange(3), counts)
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    weight = CrossEntropy(class_weights="balanced").weight(counts)
    assert weight is not None
    np.testing.assert_allclose(weight.numpy(), expected, rtol=1e-6)
    assert float((weight * torch.tensor(counts)).sum()) == pytest.approx(sum(counts))


def test_an_empty_class_weighs_one_and_leaves_the_others_alone() -> None:
    weight = CrossEntropy(class_weights="balanced").weight([2, 0, 6])
    assert weight is not None
    assert weight.tolist() == pytest.approx([2.0, 1.0, 2 / 3])


def test_no_weights_by_default() -> None:
    assert CrossEntropy().weight([1, 2]) is None


@pytest.mark.parametrize("section", [*FAMILY, *BALANCED], ids=repr)
class TestEveryLoss:
    counts = (5, 1, 0, 4)

    def logits(self) -> torch.Tensor:
        return torch.randn(6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64).requires_grad_()

    def test_one_hot_target_costs_what_its_index_costs(self, section: CrossEntropy) -> None:
        loss, labels = section.build(self.counts), torch.tensor([0, 1, 2, 3, 3, 0])
        soft = torch.nn.functional.one_hot(labels, 4).float()
        torch.testing.assert_close(loss(self.logits(), soft), loss(self.logits(), labels))

    def test_gradient_agrees_with_finite_differences(self, section: CrossEntropy) -> None:
        loss = section.build(self.counts)
        target = torch.rand(6, 4, generator=torch.Generator().manual_seed(1)).softmax(dim=1)
        logits = self.logits()
        (gradient,) = torch.autograd.grad(loss(logits, target), logits)
        step, direction = 1e-2, torch.randn(6, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
        with torch.no_grad():
            difference = loss(logits + step * direction, target) - loss(logits - step * direction, target)
        assert float(difference / (2 * step)) == pytest.approx(float((gradient * direction).sum()), rel=2e-3, abs=1e-4)

    def test_finite_at_extreme_logits(self, section: CrossEntropy) -> None:
        logits = torch.tensor([[1e4, -1e4, 0.0, 0.0], [0.0, 0.0, 0.0, 200.0]], requires_grad=True)
        loss = section.build(self.counts)(logits, torch.tensor([0, 3]))
        loss.backward()
        assert torch.isfinite(loss)
        assert logits.grad is not None
        assert torch.isfinite(logits.grad).all()

    def test_float32_under_autocast(self, section: CrossEntropy) -> None:
        loss, logits = section.build(self.counts), self.logits().detach().bfloat16()
        target = torch.rand(6, 4, generator=torch.Generator().manual_seed(1)).softmax(dim=1)
        expected = loss(logits.float(), target)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            result = loss(logits, target)
        assert result.dtype == torch.float32
        assert torch.equal(result, expected)

    def test_keeps_nothing_in_a_checkpoint(self, section: CrossEntropy) -> None:
        assert section.build(self.counts).state_dict() == {}


@pytest.mark.parametrize(
    "section",
    [LabelSmoothing(smoothing=1.0), Focal(gamma=-0.1), CrossEntropy(class_weights="inverse")],  # type: ignore[arg-type]
    ids=repr,
)
def test_refused(section: CrossEntropy) -> None:
    with pytest.raises(ConfigError, match="is not allowed"):
        config.check(section)
