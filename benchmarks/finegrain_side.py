"""The project's side: its loader, trainer and default settings, with the augmentation and optimiser of the peer."""

from side import Cost, Job, Meter

from configs.base import config as base
from finegrain.data import splits
from finegrain.data.transforms import AugmentConfig
from finegrain.engine.trainer import Trainer
from finegrain.models.config import ModelConfig
from finegrain.optim.sgd import SGD
from finegrain.recipe import Recipe, build_feeds, build_model, build_trainer
from finegrain.tuning.base import Tuning
from finegrain.tuning.full import Full
from finegrain.tuning.last_attention import LastAttention
from finegrain.tuning.last_block import LastBlock

TUNINGS: dict[str, Tuning] = {"attn": LastAttention(), "layer4": LastBlock(), "": Full()}
"""By a word in the name of what is trained first."""


class FinegrainSide:
    """Trains as `main.py train` does; validation and saving are left out of what is measured."""

    def __init__(self, job: Job) -> None:
        recipe = benchmark_recipe(job)
        runtime = recipe.runtime.build()
        data = splits.build(recipe.data, recipe.data.table())
        self.model = build_model(recipe, num_classes=len(data.class_names), runtime=runtime)
        self._feeds = build_feeds(recipe, data=data, preprocessing=self.model.preprocessing, runtime=runtime)
        self._clock = StepClock()
        self._trainer = build_trainer(
            recipe,
            model=self.model,
            data=data,
            batches=len(self._feeds.train),
            runtime=runtime,
            checkpoints=self._clock,  # type: ignore[arg-type]  # a Keeper is all it needs
        )

    def epoch(self) -> Cost:
        """Train one epoch more."""
        self._trainer.config.epochs = self._trainer.progress.epoch + 1
        self._clock.start()
        self._trainer.fit(self._feeds.train, self._feeds.val)
        return self._clock.cost


def benchmark_recipe(job: Job) -> Recipe:
    """The base recipe (bf16 where native, channels last, gradients clipped) with the peer's augmentation and SGD."""
    recipe = base()
    recipe.name = "benchmark"
    recipe.data.root = str(job.root)
    recipe.augment = AugmentConfig(min_scale=0.08, color_jitter=0.4)
    recipe.model = ModelConfig(name=f"timm/{job.model}", image_size=224)
    recipe.tuning = next(tuning for word, tuning in TUNINGS.items() if word in job.trained[0])
    recipe.optim = SGD(lr=1e-3, weight_decay=2e-5, nesterov=True)
    recipe.schedule.warmup_epochs = 0.0
    recipe.train.batch_size = job.batch_size
    recipe.runtime.device = "cpu"
    recipe.runtime.threads = job.threads
    return recipe


class StepClock:
    """A keeper that saves nothing and reads the clock after each step."""

    def start(self) -> None:
        """Count from here on."""
        self._meter = Meter()

    def save(self, trainer: Trainer, *, kept: bool) -> None:
        """Save nothing."""

    def stop_if_asked(self, trainer: Trainer, *, saved: bool = False) -> None:
        """Read the clock after a step, not in the validation nor after it."""
        if trainer.model.training and trainer.progress.images:
            self.cost = self._meter.read(trainer.progress.images)
