"""What the two networks of a GAN want of each other's scores: one small class a loss."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from finegrain.config import NonNegative, Positive

Score = Callable[[Tensor], Tensor]
"""Maps images [B, 3, S, S] to scores [B]."""


@dataclass(kw_only=True, slots=True)
class AdversarialLoss:
    """What every loss has in common; scores are float32 [B], the higher the more real."""

    r1: NonNegative = 0.0
    """γ of `γ/2 · E |∇D(x)|²` on real images (Mescheder et al., ICML 2018, arXiv:1801.04406); 0: none."""
    r2: NonNegative = 0.0
    """γ of the same on generated images; with `r1` both sides are smooth (arXiv:2501.05441); 0: none."""
    lecam: NonNegative = 0.0
    """Weight of LeCam's pull of scores towards the other side's average (Tseng et al., CVPR 2021, arXiv:2104.03310)."""

    compares: ClassVar[bool] = False
    """Whether the generator's loss needs the scores of real images."""

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """The discriminator's loss, a scalar."""
        raise NotImplementedError

    def generator(self, fake: Tensor, real: Tensor | None) -> Tensor:
        """The generator's loss, a scalar; `real` is None unless the loss `compares`."""
        raise NotImplementedError

    def penalty(self, score: Score, real: Tensor, fake: Tensor) -> Tensor | None:
        """What the discriminator's loss gets added for its gradient; None: nothing.

        Args:
            score: The discriminator, in fp32.
            real: Images that it was shown, float32 [B, 3, S, S].
            fake: The same of generated ones.
        """
        sides = ((self.r1, real), (self.r2, fake))
        parts = [weight / 2 * squared_gradient(score, images).mean() for weight, images in sides if weight]
        return torch.stack(parts).sum() if parts else None


@dataclass(kw_only=True, slots=True)
class Hinge(AdversarialLoss):
    """`max(0, 1 − D(x)) + max(0, 1 + D(G))` against `−D(G)` (Lim & Ye, 2017, arXiv:1705.02894)."""

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """See `AdversarialLoss.discriminator`."""
        return functional.relu(1 - real).mean() + functional.relu(1 + fake).mean()

    def generator(self, fake: Tensor, real: Tensor | None) -> Tensor:
        """See `AdversarialLoss.generator`."""
        return -fake.mean()


@dataclass(kw_only=True, slots=True)
class NonSaturating(AdversarialLoss):
    """Binary cross-entropy, the generator's with the other label (Goodfellow et al., 2014, arXiv:1406.2661)."""

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """See `AdversarialLoss.discriminator`."""
        return functional.softplus(-real).mean() + functional.softplus(fake).mean()

    def generator(self, fake: Tensor, real: Tensor | None) -> Tensor:
        """See `AdversarialLoss.generator`."""
        return functional.softplus(-fake).mean()


@dataclass(kw_only=True, slots=True)
class LeastSquares(AdversarialLoss):
    """Half the squared distance to 1 (real) and 0 (generated) (Mao et al., ICCV 2017, arXiv:1611.04076)."""

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """See `AdversarialLoss.discriminator`."""
        return ((real - 1).square().mean() + fake.square().mean()) / 2

    def generator(self, fake: Tensor, real: Tensor | None) -> Tensor:
        """See `AdversarialLoss.generator`."""
        return (fake - 1).square().mean() / 2


@dataclass(kw_only=True, slots=True)
class Wasserstein(AdversarialLoss):
    """`D(G) − D(x)` against `−D(G)`, with WGAN-GP's penalty (Gulrajani et al., 2017, arXiv:1704.00028)."""

    gradient_penalty: Positive = 10.0
    """λ of `λ · E (|∇D(x̂)| − 1)²` between real and generated images."""

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """See `AdversarialLoss.discriminator`."""
        return fake.mean() - real.mean()

    def generator(self, fake: Tensor, real: Tensor | None) -> Tensor:
        """See `AdversarialLoss.generator`."""
        return -fake.mean()

    def penalty(self, score: Score, real: Tensor, fake: Tensor) -> Tensor:
        """See `AdversarialLoss.penalty`."""
        share = torch.rand(len(real), 1, 1, 1, device=real.device)
        norm = (squared_gradient(score, torch.lerp(real, fake, share)) + 1e-12).sqrt()
        penalty = self.gradient_penalty * (norm - 1).square().mean()
        others = AdversarialLoss.penalty(self, score, real, fake)
        return penalty if others is None else penalty + others


@dataclass(kw_only=True, slots=True)
class Relativistic(AdversarialLoss):
    """Which of a real and a generated image looks more real: `softplus(D(G) − D(x))` against `softplus(D(x) − D(G))`.

    RpGAN (Jolicoeur-Martineau, ICLR 2019, arXiv:1807.00734); to converge it wants `r1` and `r2` (arXiv:2501.05441).
    """

    compares: ClassVar[bool] = True

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """See `AdversarialLoss.discriminator`."""
        return functional.softplus(fake - real).mean()

    def generator(self, fake: Tensor, real: Tensor | None) -> Tensor:
        """See `AdversarialLoss.generator`."""
        assert real is not None
        return functional.softplus(real - fake).mean()


def squared_gradient(score: Score, images: Tensor) -> Tensor:
    """`|∇ score|²` at each of `images` [B, 3, S, S], as [B], differentiable by the discriminator's weights."""
    images = images.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(score(images).sum(), images, create_graph=True)
    return gradient.square().sum(dim=(1, 2, 3))


class LeCam:
    """Pulls scores of real images to the average of generated ones, and the other way round.

    `E max(0, D(x) − α_G)² + E max(0, α_R − D(G))²`, α the running averages (arXiv:2104.03310), without the bias towards
    the 0 at which they start, as in the authors' code.
    """

    def __init__(self, *, decay: float = 0.99) -> None:
        self._decay = decay
        self.averages = torch.zeros(3)
        """Of scores of real images, of generated ones, and of 1, which tells how far the 0 is forgotten."""

    def __call__(self, real: Tensor, fake: Tensor) -> Tensor:
        """The penalty, a scalar, of scores [B]; the averages move first."""
        now = torch.stack([real.detach().mean(), fake.detach().mean(), real.new_ones(())])
        self.averages = torch.lerp(now, self.averages.to(now.device), self._decay)
        of_real, of_fake = self.averages[:2] / self.averages[2]
        return functional.relu(real - of_fake).square().mean() + functional.relu(of_real - fake).square().mean()
