"""The project's side of training a GAN and of sampling from it: its trainer, its `Generator.sample`."""

import tempfile
from collections.abc import Mapping
from pathlib import Path

from gan_networks import GanJob, networks, train_batches, train_data
from side import Cost, Meter
from torch import nn

from finegrain.data.synthetic import SyntheticBirds
from finegrain.engine.interrupt import Interrupt
from finegrain.gan.augment import DiffAugment
from finegrain.gan.methods.adversarial import GanRecipe
from finegrain.gan.recipe import build_trainer
from finegrain.runtime import RuntimeConfig
from finegrain.storage import RunDirectory


class FinegrainGan:
    """Trains as `main_gan.py` does, on images that are in memory; evaluating and saving are not measured.

    One step of the discriminator to one of the generator, and images as they are, as the peer does.
    """

    def __init__(self, job: GanJob) -> None:
        recipe, runtime = gan_recipe(job), RuntimeConfig(device=job.device).build()
        with tempfile.TemporaryDirectory() as folder, RunDirectory(Path(folder) / "run", resume=False) as directory:
            self._trainer = build_trainer(
                recipe,
                data=train_data(job),
                selection=None,  # type: ignore[arg-type]  # evaluating only reads the clock
                directory=directory,
                runtime=runtime,
                interrupt=Interrupt(),
            )
        self._batches = train_batches(job, runtime)
        self._trainer.evaluate, self._trainer.keeper = self._read_clock, NothingKept()

    @property
    def average(self) -> nn.Module:
        """Of the generator's weights."""
        return self._trainer.evaluated_model

    @property
    def losses(self) -> tuple[float, float]:
        """Of the discriminator and the generator, mean of the last epoch."""
        row = self._trainer.progress.history[-1]
        return row["d_loss"], row["g_loss"]

    def epoch(self) -> Cost:
        """Train one epoch more."""
        config, progress = self._trainer.config, self._trainer.progress
        config.steps = progress.step + len(self._batches)
        self._meter = Meter()
        self._trainer.fit(self._batches)
        return self._cost

    def _read_clock(self, generator: nn.Module, step: int) -> Mapping[str, float]:
        self._cost = self._meter.read(len(self._batches.samples))
        return {"kernel_distance": 0.0}


class FinegrainSamples:
    """Images as `main_gan.py --gen` makes them, each a function of its seed; writing them is not measured."""

    def __init__(self, job: GanJob) -> None:
        runtime = RuntimeConfig(device=job.device).build()
        self._generator = networks(job)[0].to(runtime.device).eval()
        self._labels = [number % job.num_classes for number in range(job.images)]

    def epoch(self) -> Cost:
        """Make all of them."""
        meter = Meter()
        self._generator.sample(self._labels, range(len(self._labels)))
        return meter.read(len(self._labels))


def gan_recipe(job: GanJob) -> GanRecipe:
    """The defaults (bf16 where native, channels last) but for what makes the work equal."""
    recipe = GanRecipe(name="benchmark", image_size=job.image_size, data=SyntheticBirds())
    recipe.generator, recipe.discriminator = job.generator, job.discriminator
    recipe.augment = DiffAugment(flip=0.0, translation=0.0, cutout=0.0)
    recipe.train.discriminator_steps, recipe.train.batch_size = 1, job.batch_size
    recipe.train.evaluate_steps, recipe.train.patience = 1_000_000, None
    return recipe


class NothingKept:
    """A keeper that saves nothing."""

    def save(self, trainer: object, *, kept: bool) -> None:
        """Save nothing."""

    def stop_if_asked(self, trainer: object, *, saved: bool = False) -> None:
        """Go on."""
