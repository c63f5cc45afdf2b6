"""A GAN's training loop as PyTorch's DCGAN example writes it, and its forward pass: fp32, contiguous tensors."""

import torch
from gan_networks import GanJob, networks, train_batches
from side import Cost, Meter
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from finegrain.gan.networks.discriminator import Discriminator
from finegrain.gan.networks.generator import Generator


class PlainGan:
    """Real and generated images go through the discriminator one after the other, and again for the generator."""

    def __init__(self, job: GanJob) -> None:
        self._job, self._device = job, torch.device(job.device)
        self.generator, self.discriminator = (network.to(self._device) for network in plain_networks(job))
        self._optimizers = [
            torch.optim.Adam(network.parameters(), lr=2e-4, betas=(0.5, 0.999))
            for network in (self.generator, self.discriminator)
        ]
        self.average = AveragedModel(self.generator, multi_avg_fn=get_ema_multi_avg_fn(0.999), use_buffers=True)
        self._batches = train_batches(job)
        self.losses: tuple[float, float] = (float("nan"), float("nan"))
        """Of the discriminator and the generator, in the last step."""

    def epoch(self) -> Cost:
        """Train one epoch."""
        meter, images = Meter(), 0
        for batch in self._batches.epoch(0):
            self._step(batch.views[0].to(self._device), batch.labels.to(self._device))
            images += len(batch.labels)
        return meter.read(images)

    def _step(self, real: Tensor, labels: Tensor) -> None:
        generator_optimizer, discriminator_optimizer = self._optimizers
        self.discriminator.zero_grad()
        loss_of_real = functional.relu(1 - self.discriminator(real, labels).score).mean()
        loss_of_real.backward()
        fake = self.generator(torch.randn(len(labels), self._job.noise_dim, device=self._device), labels)
        loss_of_fake = functional.relu(1 + self.discriminator(fake.detach(), labels).score).mean()
        loss_of_fake.backward()
        discriminator_optimizer.step()
        self.generator.zero_grad()
        loss = -self.discriminator(fake, labels).score.mean()
        loss.backward()
        generator_optimizer.step()
        self.average.update_parameters(self.generator)
        self.losses = loss_of_real.item() + loss_of_fake.item(), loss.item()


class PlainSamples:
    """Images of the generator in eval mode, a batch at a time, brought to the CPU."""

    def __init__(self, job: GanJob) -> None:
        self._job, self._device = job, torch.device(job.device)
        self._generator = plain_networks(job)[0].to(self._device).eval()
        self._labels = torch.arange(job.images) % job.num_classes

    @torch.no_grad()
    def epoch(self) -> Cost:
        """Make all of them."""
        meter = Meter()
        for labels in self._labels.to(self._device).split(self._job.batch_size):
            noise = torch.randn(len(labels), self._job.noise_dim, device=self._device)
            self._generator(noise, labels).cpu()
        return meter.read(self._job.images)


class DoubledThenConvolved(nn.Conv2d):
    """Nearest neighbours, then the convolution: the generator's stage as one writes it."""

    def forward(self, input: Tensor) -> Tensor:
        """[B, C, H, W] to [B, C', 2 H, 2 W]."""
        return super().forward(functional.interpolate(input, scale_factor=2))


def plain_networks(job: GanJob) -> tuple[Generator, Discriminator]:
    """The same networks with the same weights."""
    generator, discriminator = networks(job)
    if job.style == "upsample":
        for place, stage in enumerate(generator.doublings):
            assert isinstance(stage, nn.Conv2d)
            channels, bias = (stage.in_channels, stage.out_channels), stage.bias is not None
            plain = DoubledThenConvolved(*channels, 3, padding=1, bias=bias)
            plain.load_state_dict(stage.state_dict())
            generator.doublings[place] = plain
    return generator, discriminator
