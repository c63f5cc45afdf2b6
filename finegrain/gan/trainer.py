"""The loop of a conditional GAN, and only the loop: it receives every part and builds none."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm

from finegrain.config import Count, Fraction, Positive, Probability
from finegrain.data.feed import Feed
from finegrain.engine.ema import WeightEMA
from finegrain.engine.stopping import Best
from finegrain.gan.augment import DiffAugment
from finegrain.gan.losses import AdversarialLoss, LeCam
from finegrain.gan.networks.discriminator import Discriminator
from finegrain.gan.networks.generator import Generator
from finegrain.gan.player import Player
from finegrain.runtime import Runtime, seed_of

logger = logging.getLogger(__name__)

Images = Iterator[tuple[Tensor, Tensor]]
"""Real images float32 [B, 3, S, S] in [−1, 1] and their labels int64 [B], on the device."""


@dataclass(kw_only=True, slots=True)
class GanTrainConfig:
    """The numbers of the loop."""

    steps: Count = 4000
    """Steps of the generator."""
    batch_size: Count = 64
    """Real images of one step of the discriminator; as many are generated."""
    discriminator_steps: Count = 2
    """Steps of the discriminator before each of the generator."""
    lr: Positive = 2e-4
    """Adam's learning rate, of both networks."""
    beta1: Probability = 0.5
    """Adam's first decay; the second is 0.999."""
    ema_decay: Probability = 0.999
    """Decay of the average of the generator's weights and statistics, which is what is sampled from."""
    fade_fraction: Fraction = 0.0
    """Share of the steps in which the class's influence grows from 0 to 1 (arXiv:2201.06578): 0.2 to 0.4 keeps fewer
    than about 100 images a class from collapse."""
    evaluate_steps: Count = 500
    """Draw a grid, measure, and save after every so many steps, and after the last."""
    patience: Count | None = 5
    """Evaluations without a smaller kernel distance before stopping; none: take all steps."""


@dataclass(slots=True)
class GanProgress:
    """Where training stands: plain numbers, saved with every checkpoint."""

    step: int = 0
    """Steps of the generator taken."""
    sums: dict[str, float] = field(default_factory=dict)
    """Of what is watched, since the last evaluation."""
    counts: dict[str, int] = field(default_factory=dict)
    """How many values each sum has."""
    seconds: float = 0.0
    """Time spent, over all resumptions."""
    history: list[dict[str, float]] = field(default_factory=list)
    """One row an evaluation."""


class Keeper(Protocol):
    """Keeps what a later process needs; see `engine.checkpoint.Checkpoints`."""

    def save(self, trainer: "GanTrainer", *, kept: bool) -> None:
        """Save the trainer's state, and its generator as the one to use when it is `kept`."""
        ...

    def stop_if_asked(self, trainer: "GanTrainer", *, saved: bool = False) -> None:
        """Save, unless it was `saved` just now, and raise when a signal asked for a stop."""
        ...


@dataclass(kw_only=True)
class GanTrainer:
    """Trains a generator against a discriminator; every argument is a finished part.

    Randomness of a step is a function of (seed, step), and so are the images that it sees: a resumed run repeats an
    uninterrupted one bit by bit.
    """

    config: GanTrainConfig
    generator: Player[Generator]
    discriminator: Player[Discriminator]
    average: WeightEMA
    loss: AdversarialLoss
    augment: DiffAugment
    runtime: Runtime
    seed: int
    keeper: Keeper
    evaluate: Callable[[Generator, int], Mapping[str, float]]
    """Receives the average and the step; gives figures of its images, `kernel_distance` among them."""

    def __post_init__(self) -> None:
        """Prepare what is neither an argument nor learned."""
        self.progress = GanProgress()
        self.best = Best(mode="min", patience=self.config.patience)
        self.lecam = LeCam()
        self._resumed = time.monotonic()

    @property
    def evaluated_model(self) -> Generator:
        """The generator that is judged and kept: the weights' average."""
        average = self.average.module
        assert isinstance(average, Generator)
        return average

    @property
    def place(self) -> str:
        """Where training stands, in words."""
        return f"step {self.progress.step}"

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do."""
        return self.progress.step >= self.config.steps or self.best.exhausted

    @property
    def condition(self) -> float:
        """Share of the class's influence in the step that is about to be taken."""
        fading = self.config.fade_fraction * self.config.steps
        return 1.0 if self.progress.step >= fading else self.progress.step / fading

    def fit(self, feed: Feed, *, on_row: Callable[[Mapping[str, float]], None] = lambda row: None) -> None:
        """Train until the steps or the patience are used up.

        Args:
            feed: The train split.
            on_row: Receives each evaluation's row of the history once it is saved.

        Raises:
            NumericsError: A loss or gradient is not finite.
        """
        self._resumed = time.monotonic()
        progress, images = self.progress, self._images(feed)
        with tqdm(total=self.config.steps, initial=progress.step, leave=False, disable=None, unit="step") as bar:
            while not self.finished:
                self._take_step(images)
                bar.update()
                self._note_time()
                if progress.step % self.config.evaluate_steps and progress.step < self.config.steps:
                    self.keeper.stop_if_asked(self)
                else:
                    self._evaluate(on_row)

    def _images(self, feed: Feed) -> Images:
        """Batches from where training stands, epoch after epoch."""
        epoch, start = divmod(self.progress.step * self.config.discriminator_steps, len(feed))
        while True:
            for inputs in feed.epoch(epoch, start_step=start):
                yield inputs.views[0], inputs.labels.to(self.runtime.device)
            epoch, start = epoch + 1, 0

    def _take_step(self, images: Images) -> None:
        """The discriminator's steps, each on images of its own, and one of the generator for the last labels."""
        self.runtime.seed(seed_of(self.seed, "step", self.progress.step))
        for _ in range(self.config.discriminator_steps):
            real, labels = next(images)
            self._discriminator_step(real, labels)
        self._generator_step(real, labels)
        self.average.update(self.generator.network)
        self.progress.step += 1

    def _generate(self, labels: Tensor) -> Tensor:
        noise = torch.randn(len(labels), self.generator.network.noise_dim, device=self.runtime.device)
        images: Tensor = self.generator.network(noise, labels, self.condition)
        return images

    def _discriminator_step(self, real: Tensor, labels: Tensor) -> None:
        """Real and generated images of the same labels in one batch, each varied by chance."""
        judge, condition = self.discriminator.network, self.condition
        with self.runtime.training_forward(), torch.no_grad():
            fake = self._generate(labels)
        shown = self.augment(torch.cat([self.augment.mirror(real), fake]))
        both = torch.cat([labels, labels])
        with self.runtime.training_forward():
            verdict = judge(shown, both, condition)
        of_real, of_fake = verdict.score.chunk(2)
        loss = adversarial = self.loss.discriminator(of_real, of_fake)
        if verdict.class_logits is not None:
            loss = loss + condition * functional.cross_entropy(verdict.class_logits, both)
        if self.loss.lecam:
            loss = loss + self.loss.lecam * self.lecam(of_real, of_fake)
        real_shown, fake_shown = shown.chunk(2)
        penalty = self.loss.penalty(lambda rows: judge(rows, labels, condition).score, real_shown, fake_shown)
        if penalty is not None:
            loss = loss + penalty
        watched = {"d_loss": adversarial, "d_real": of_real.mean(), "d_fake": of_fake.mean()}
        self._add(self.discriminator.step(loss, number=self.progress.step, watched=watched))

    def _generator_step(self, real: Tensor, labels: Tensor) -> None:
        """The discriminator is frozen: it costs no gradients, and nothing of it moves."""
        judge, condition = self.discriminator.network, self.condition
        with self.discriminator.frozen():
            with self.runtime.training_forward():
                fake = self._generate(labels)
            shown = self.augment(fake)
            with self.runtime.training_forward():
                verdict = judge(shown, labels, condition)
            of_real = None
            if self.loss.compares:
                shown = self.augment(self.augment.mirror(real))
                with self.runtime.training_forward(), torch.no_grad():
                    of_real = judge(shown, labels, condition).score
            loss = adversarial = self.loss.generator(verdict.score, of_real)
            if verdict.class_logits is not None:
                loss = loss + condition * functional.cross_entropy(verdict.class_logits, labels)
            watched = {"g_loss": adversarial}
            self._add(self.generator.step(loss, number=self.progress.step, watched=watched))

    def _add(self, watched: Mapping[str, float]) -> None:
        sums, counts = self.progress.sums, self.progress.counts
        for name, value in watched.items():
            sums[name], counts[name] = sums.get(name, 0.0) + value, counts.get(name, 0) + 1

    def _note_time(self) -> None:
        now = time.monotonic()
        self.progress.seconds += now - self._resumed
        self._resumed = now

    def _evaluate(self, on_row: Callable[[Mapping[str, float]], None]) -> None:
        """Measure the average's images, keep it where it is the best, and save."""
        progress = self.progress
        row = {"step": float(progress.step)}
        row |= {name: total / progress.counts[name] for name, total in progress.sums.items()}
        row |= self.evaluate(self.evaluated_model, progress.step)
        self._note_time()
        progress.history.append(row | {"seconds": progress.seconds})
        progress.sums, progress.counts = {}, {}
        kept = self.best.update(row["kernel_distance"], progress.step)
        shown = "  ".join(f"{name} {value:.4g}" for name, value in row.items() if name != "step")
        logger.info("step %d/%d  %s%s", progress.step, self.config.steps, shown, "  best" if kept else "")
        self.keeper.save(self, kept=kept)
        on_row(progress.history[-1])
        self.keeper.stop_if_asked(self, saved=True)

    def state(self) -> dict[str, Any]:
        """Everything that continues this training, by part; tensors and plain values only."""
        return {
            "generator": self.generator.state(),
            "discriminator": self.discriminator.state(),
            "average": self.average.state_dict(),
            "lecam": self.lecam.averages,
            "best": self.best.state_dict(),
            "finished": self.finished,
            "progress": {name: getattr(self.progress, name) for name in GanProgress.__slots__},
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up training where `state` was saved."""
        self.generator.restore(state["generator"])
        self.discriminator.restore(state["discriminator"])
        self.average.load_state_dict(state["average"])
        self.lecam.averages = state["lecam"].to(self.runtime.device)
        self.best.load_state_dict(state["best"])
        self.progress = GanProgress(**state["progress"])
