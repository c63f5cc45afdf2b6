import math

import pytest
import torch
from torch import Tensor

from finegrain.gan.losses import (
    AdversarialLoss,
    Hinge,
    LeastSquares,
    LeCam,
    NonSaturating,
    Relativistic,
    Wasserstein,
    squared_gradient,
)

REAL, FAKE = torch.tensor([2.0, 0.5]), torch.tensor([-0.5, -3.0])


def softplus(value: float) -> float:
    return math.log1p(math.exp(value))


@pytest.mark.parametrize(
    ("loss", "discriminator", "generator"),
    [
        (Hinge(), (0 + 0.5) / 2 + (0.5 + 0) / 2, 1.75),
        (
            NonSaturating(),
            (softplus(-2) + softplus(-0.5) + softplus(-0.5) + softplus(-3)) / 2,
            (softplus(0.5) + softplus(3)) / 2,
        ),
        (LeastSquares(), ((1 + 0.25) / 2 + (0.25 + 9) / 2) / 2, (2.25 + 16) / 4),
        (Wasserstein(), -1.75 - 1.25, 1.75),
        (Relativistic(), (softplus(-2.5) + softplus(-3.5)) / 2, (softplus(2.5) + softplus(3.5)) / 2),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_loss_is_what_the_paper_says(loss: AdversarialLoss, discriminator: float, generator: float) -> None:
    assert loss.discriminator(REAL, FAKE).item() == pytest.approx(discriminator)
    assert loss.generator(FAKE, REAL if loss.compares else None).item() == pytest.approx(generator)


@pytest.mark.parametrize("loss", [Hinge(), NonSaturating(), LeastSquares(), Wasserstein(), Relativistic()])
def test_each_side_is_drawn_its_own_way(loss: AdversarialLoss) -> None:
    real, fake = torch.zeros(3, requires_grad=True), torch.zeros(3, requires_grad=True)
    loss.discriminator(real, fake).backward()
    assert (real.grad < 0).all()  # type: ignore[operator]
    assert (fake.grad >= 0).all()  # type: ignore[operator]
    fake.grad = None
    loss.generator(fake, real if loss.compares else None).backward()
    assert (fake.grad < 0).all()  # type: ignore[operator]


def quadratic(images: Tensor) -> Tensor:
    """A score whose gradient is `2 x`."""
    return images.square().sum(dim=(1, 2, 3))


def test_the_squared_gradient_of_a_known_score() -> None:
    images = torch.randn(4, 3, 2, 2)
    torch.testing.assert_close(squared_gradient(quadratic, images), 4 * quadratic(images))


def test_r1_is_half_gamma_times_the_squared_gradient_at_real_images() -> None:
    real, fake = torch.randn(2, 4, 3, 2, 2)
    penalty = Hinge(r1=6.0).penalty(quadratic, real, fake)
    assert penalty is not None
    assert penalty.item() == pytest.approx(3 * 4 * quadratic(real).mean().item(), rel=1e-5)
    assert Hinge().penalty(quadratic, real, fake) is None


def test_r2_is_the_same_at_generated_images_and_both_add_up() -> None:
    real, fake = torch.randn(2, 4, 3, 2, 2)
    for loss, wanted in (
        (Hinge(r2=6.0), 12 * quadratic(fake).mean()),
        (Relativistic(r1=1.0, r2=2.0), 2 * quadratic(real).mean() + 4 * quadratic(fake).mean()),
    ):
        penalty = loss.penalty(quadratic, real, fake)
        assert penalty is not None
        torch.testing.assert_close(penalty, wanted)


def test_the_gradient_penalty_is_zero_where_the_slope_is_one() -> None:
    real, fake = torch.randn(2, 4, 3, 2, 2)

    def plane(images: Tensor, slope: float = 1.0) -> Tensor:
        return slope * images[:, 0, 0, 0]

    assert Wasserstein().penalty(plane, real, fake).item() == pytest.approx(0, abs=1e-9)
    steep = Wasserstein(gradient_penalty=2.0).penalty(lambda images: plane(images, 4.0), real, fake)
    assert steep.item() == pytest.approx(2 * 9, rel=1e-5)
    both = Wasserstein(gradient_penalty=2.0, r1=1.0).penalty(lambda images: plane(images, 4.0), real, fake)
    assert both.item() == pytest.approx(2 * 9 + 8, rel=1e-5)


def test_a_penalty_reaches_the_weights() -> None:
    weight = torch.tensor(2.0, requires_grad=True)
    penalty = Hinge(r1=1.0).penalty(lambda images: weight * images.sum(dim=(1, 2, 3)), torch.ones(1, 1, 2, 2), REAL)
    assert penalty is not None
    penalty.backward()  # γ/2 · 4 w²
    assert weight.grad == pytest.approx(4 * 2.0)


def test_lecam_pulls_scores_to_the_other_sides_average() -> None:
    lecam = LeCam(decay=0.5)
    first = lecam(torch.tensor([2.0, 4.0]), torch.tensor([-1.0, -1.0]))
    assert first.item() == pytest.approx((3.0**2 + 5.0**2) / 2 + 4.0**2)  # averages of 3 and −1, not nearer to 0
    second = lecam(torch.tensor([-2.0, 0.0]), torch.tensor([3.0, 1.0]))  # averages with weights 1/3 and 2/3
    of_real, of_fake = (3 - 2 * 1) / 3, (-1 + 2 * 2) / 3
    assert second.item() == pytest.approx(0.0)
    third = lecam(torch.tensor([2.0]), torch.tensor([-1.0]))
    of_real, of_fake = (3 * of_real + 4 * 2) / 7, (3 * of_fake - 4) / 7
    assert third.item() == pytest.approx((2 - of_fake) ** 2 + (of_real + 1) ** 2)
