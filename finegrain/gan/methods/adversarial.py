"""A generator learned against a discriminator: conditional DCGAN, AC-GAN, ReACGAN."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from finegrain.config import Count, Fraction, Probability
from finegrain.errors import fault
from finegrain.gan.augment import DiffAugment
from finegrain.gan.losses import AdversarialLoss, Hinge, LeCam, Wasserstein
from finegrain.gan.methods.base import GenerativeRecipe
from finegrain.gan.networks.discriminator import Discriminator, DiscriminatorConfig, Verdict
from finegrain.gan.networks.generator import Generator, GeneratorConfig
from finegrain.gan.player import Player
from finegrain.gan.trainer import Images, TrainConfig
from finegrain.runtime import Runtime


@dataclass(kw_only=True, slots=True)
class GanTrainConfig(TrainConfig):
    """The numbers of a GAN's training."""

    discriminator_steps: Count = 2
    """Steps of the discriminator before each of the generator, on a batch each; as many images are generated."""
    beta1: Probability = 0.5
    """Adam's first decay; the second is 0.999."""
    fade_fraction: Fraction = 0.0
    """Share of the steps in which the class's influence grows from 0 to 1 (arXiv:2201.06578): 0.2 to 0.4 keeps fewer
    than about 100 images a class from collapse."""

    @property
    def batches_per_step(self) -> int:
        """Batches that a step takes."""
        return self.discriminator_steps


@dataclass(kw_only=True, slots=True)
class GanRecipe(GenerativeRecipe):
    """A conditional GAN; what its discriminator is conditioned by makes it an AC-GAN or a ReACGAN."""

    train: GanTrainConfig = field(default_factory=GanTrainConfig)
    generator: GeneratorConfig = field(default_factory=GeneratorConfig)
    discriminator: DiscriminatorConfig = field(default_factory=DiscriminatorConfig)
    loss: AdversarialLoss = field(default_factory=Hinge)
    augment: DiffAugment = field(default_factory=DiffAugment)

    def faults(self) -> list[str]:
        """Batch norm mixes images, of which gradient penalties want each for itself."""
        faults = GenerativeRecipe.faults(self)
        penalised = self.loss.r1 or self.loss.r2 or isinstance(self.loss, Wasserstein)
        if self.discriminator.normalisation == "batch" and penalised:
            expected, remedy = "spectral or none, as loss has a gradient penalty", "set one of these, or another loss"
            faults.append(fault("discriminator.normalisation", got="batch", expected=expected, remedy=remedy))
        return faults

    @property
    def sampler(self) -> GeneratorConfig:
        """See `GenerativeRecipe.sampler`."""
        return self.generator

    def networks(self, num_classes: int) -> dict[str, nn.Module]:
        """See `GenerativeRecipe.networks`."""
        size = self.image_size
        return {
            "generator": self.generator.build(image_size=size, num_classes=num_classes),
            "discriminator": self.discriminator.build(image_size=size, num_classes=num_classes),
        }

    def method(self, networks: Mapping[str, Any], runtime: Runtime) -> "Adversarial":
        """See `GenerativeRecipe.method`."""
        betas = (self.train.beta1, 0.999)
        players = {
            name: Player.with_adam(name, network, lr=self.train.lr, betas=betas, runtime=runtime)
            for name, network in networks.items()
        }
        return Adversarial(config=self.train, loss=self.loss, augment=self.augment, runtime=runtime, **players)


@dataclass(kw_only=True)
class Adversarial:
    """The discriminator's steps, and one of the generator with the discriminator frozen."""

    config: GanTrainConfig
    generator: Player[Generator]
    discriminator: Player[Discriminator]
    loss: AdversarialLoss
    augment: DiffAugment
    runtime: Runtime

    def __post_init__(self) -> None:
        """Begin LeCam's averages."""
        self.lecam = LeCam()

    @property
    def model(self) -> Generator:
        """See `Method.model`."""
        return self.generator.network

    def condition(self, number: int) -> float:
        """Share of the class's influence in step `number`."""
        fading = self.config.fade_fraction * self.config.steps
        return 1.0 if number >= fading else number / fading

    def step(self, images: Images, number: int) -> list[dict[str, float]]:
        """See `Method.step`: each of the discriminator's on images of its own, the generator's for the last labels."""
        watched = []
        for _ in range(self.config.discriminator_steps):
            real, labels = next(images)
            watched.append(self.discriminator_step(real, labels, number))
        return [*watched, self.generator_step(real, labels, number)]

    def _generate(self, labels: Tensor, condition: float) -> Tensor:
        noise = torch.randn(len(labels), self.model.noise_dim, device=self.runtime.device)
        images: Tensor = self.model(noise, labels, condition)
        return images

    def discriminator_step(self, real: Tensor, labels: Tensor, number: int) -> dict[str, float]:
        """Learn to tell real from generated images of the same labels, each varied by chance."""
        judge, condition = self.discriminator.network, self.condition(number)
        with self.runtime.training_forward(), torch.no_grad():
            fake = self._generate(labels, condition)
        shown = self.augment(torch.cat([self.augment.mirror(real), fake]))
        with self.runtime.training_forward():
            verdicts = judge.compare(shown, labels, condition)
        of_real, of_fake = (verdict.score for verdict in verdicts)
        loss = adversarial = self.loss.discriminator(of_real, of_fake)
        for verdict in verdicts if judge.names_generated else verdicts[:1]:
            loss = self._add_classes(loss, verdict, labels, condition)
        if self.loss.lecam:
            loss = loss + self.loss.lecam * self.lecam(of_real, of_fake)
            self.runtime.replicas.average([self.lecam.averages])
        real_shown, fake_shown = shown.chunk(2)
        penalty = self.loss.penalty(lambda rows: judge(rows, labels, condition).score, real_shown, fake_shown)
        if penalty is not None:
            loss = loss + penalty
        watched = {"d_loss": adversarial, "d_real": of_real.mean(), "d_fake": of_fake.mean()}
        return self.discriminator.step(loss, number=number, watched=watched)

    def generator_step(self, real: Tensor, labels: Tensor, number: int) -> dict[str, float]:
        """The discriminator is frozen: it costs no gradients, and nothing of it moves."""
        judge, condition = self.discriminator.network, self.condition(number)
        with self.discriminator.frozen():
            with self.runtime.training_forward():
                fake = self._generate(labels, condition)
            shown = self.augment(fake)
            with self.runtime.training_forward():
                verdict = judge(shown, labels, condition)
            of_real = None
            if self.loss.compares:
                shown = self.augment(self.augment.mirror(real))
                with self.runtime.training_forward(), torch.no_grad():
                    of_real = judge(shown, labels, condition).score
            loss = adversarial = self.loss.generator(verdict.score, of_real)
            loss = self._add_classes(loss, verdict, labels, condition)
            return self.generator.step(loss, number=number, watched={"g_loss": adversarial})

    def _add_classes(self, loss: Tensor, verdict: Verdict, labels: Tensor, condition: float) -> Tensor:
        """Of both networks: the second head is to tell the class, which the generator has to show for that."""
        of_classes = self.discriminator.network.class_loss(verdict, labels)
        return loss if of_classes is None else loss + condition * of_classes

    def state(self) -> dict[str, Any]:
        """See `Method.state`."""
        players = {"generator": self.generator.state(), "discriminator": self.discriminator.state()}
        return {**players, "lecam": self.lecam.averages}

    def restore(self, state: Mapping[str, Any]) -> None:
        """See `Method.restore`."""
        self.generator.restore(state["generator"])
        self.discriminator.restore(state["discriminator"])
        self.lecam.averages = state["lecam"].to(self.runtime.device)
