"""The loop that learns a generator, and only the loop: it receives every part and builds none."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from torch import Tensor
from tqdm import tqdm

from finegrain.config import Count, Positive, Probability
from finegrain.data.feed import Feed
from finegrain.engine.ema import WeightEMA
from finegrain.engine.stopping import Best
from finegrain.gan.networks.sampler import Sampler
from finegrain.runtime import Runtime, seed_of

logger = logging.getLogger(__name__)

Images = Iterator[tuple[Tensor, Tensor]]
"""Real images float32 [B, 3, S, S] in [−1, 1] and their labels int64 [B], on the device."""


@dataclass(kw_only=True, slots=True)
class TrainConfig:
    """The numbers of the loop; each method adds its own."""

    steps: Count = 4000
    """Steps of the generator."""
    batch_size: Count = 64
    """Real images of a batch."""
    lr: Positive = 2e-4
    """Adam's learning rate, of every network."""
    ema_decay: Probability = 0.999
    """Decay of the average of the generator's weights and statistics, which is what is sampled from."""
    evaluate_steps: Count = 500
    """Draw a grid, measure, and save after every so many steps, and after the last."""
    patience: Count | None = 5
    """Evaluations without a smaller kernel distance before stopping; none: take all steps."""

    @property
    def batches_per_step(self) -> int:
        """Batches that a step takes."""
        return 1


class Method(Protocol):
    """How a generator is learned: it owns all that is trained."""

    @property
    def model(self) -> Sampler:
        """The network whose average is sampled from."""
        ...

    def step(self, images: Images, number: int) -> Sequence[Mapping[str, float]]:
        """Take the training's step `number`, on as many of the batches as a step takes; return what was watched."""
        ...

    def state(self) -> dict[str, Any]:
        """Everything that continues it; tensors and plain values only."""
        ...

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take it up where `state` was saved."""
        ...


@dataclass(slots=True)
class Progress:
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

    def save(self, trainer: "GeneratorTrainer", *, kept: bool) -> None:
        """Save the trainer's state, and its generator as the one to use when it is `kept`."""
        ...

    def stop_if_asked(self, trainer: "GeneratorTrainer", *, saved: bool = False) -> None:
        """Save, unless it was `saved` just now, and raise when a signal asked for a stop."""
        ...


@dataclass(kw_only=True)
class GeneratorTrainer:
    """Trains a generator by a method; every argument is a finished part.

    Randomness of a step is a function of (seed, step), and so are the images that it sees: a resumed run repeats an
    uninterrupted one bit by bit.
    """

    config: TrainConfig
    method: Method
    average: WeightEMA
    """Of the method's model."""
    runtime: Runtime
    seed: int
    keeper: Keeper
    evaluate: Callable[[Sampler, int], Mapping[str, float]]
    """Receives the average and the step; gives figures of its images, `kernel_distance` among them."""

    def __post_init__(self) -> None:
        """Prepare what is neither an argument nor learned."""
        self.progress = Progress()
        self.best = Best(mode="min", patience=self.config.patience)
        self._resumed = time.monotonic()

    @property
    def evaluated_model(self) -> Sampler:
        """The generator that is judged and kept: the weights' average."""
        average = self.average.module
        assert isinstance(average, Sampler)
        return average

    @property
    def place(self) -> str:
        """Where training stands, in words."""
        return f"step {self.progress.step}"

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do."""
        return self.progress.step >= self.config.steps or self.best.exhausted

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
        epoch, start = divmod(self.progress.step * self.config.batches_per_step, len(feed))
        while True:
            for inputs in feed.epoch(epoch, start_step=start):
                share = self.runtime.replicas.share
                yield share(inputs.views[0]), share(inputs.labels).to(self.runtime.device)
            epoch, start = epoch + 1, 0

    def _take_step(self, images: Images) -> None:
        replicas, step = self.runtime.replicas, self.progress.step
        own = () if replicas.leads else (replicas.rank,)  # noise of its own for each process
        self.runtime.seed(seed_of(self.seed, "step", step, *own))
        sums, counts = self.progress.sums, self.progress.counts
        for watched in self.method.step(images, self.progress.step):
            for name, value in watched.items():
                sums[name], counts[name] = sums.get(name, 0.0) + value, counts.get(name, 0) + 1
        self.average.update(self.method.model)
        self.progress.step += 1

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
            "method": self.method.state(),
            "average": self.average.state_dict(),
            "best": self.best.state_dict(),
            "finished": self.finished,
            "progress": {name: getattr(self.progress, name) for name in Progress.__slots__},
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up training where `state` was saved."""
        self.method.restore(state["method"])
        self.average.load_state_dict(state["average"])
        self.best.load_state_dict(state["best"])
        self.progress = Progress(**state["progress"])
