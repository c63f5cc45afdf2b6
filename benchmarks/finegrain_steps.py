"""The project's side of training behind a frozen part: its trainer, on cached activations or on images."""

import tempfile
from functools import partial
from pathlib import Path
from typing import Literal

from finegrain_side import StepClock
from memory_images import ReadyImages, data
from networks import CLASSES, network
from side import Cost

from configs.base import config as base
from finegrain.caching import cached_feeds
from finegrain.data.feed import Feed
from finegrain.data.transforms import AugmentConfig
from finegrain.features.cache import FeatureCache
from finegrain.features.views import Plain
from finegrain.models.config import ModelConfig
from finegrain.optim.sgd import SGD
from finegrain.recipe import Recipe, build_model, build_trainer
from finegrain.tuning.base import Tuning
from finegrain.tuning.head import Head
from finegrain.tuning.last_attention import LastAttention
from finegrain.tuning.last_block import LastBlock

Trained = Literal["head", "last block", "last attention"]
TUNINGS: dict[Trained, type[Tuning]] = {"head": Head, "last block": LastBlock, "last attention": LastAttention}


class FinegrainSteps:
    """Trains as `main.py train` does, on images that are in memory; validation and saving are not measured.

    Args:
        model: timm's name.
        trained: What of it.
        count: Images of an epoch.
        batch_size: Images of a step.
        cached: Whether the frozen part runs once an image, before the measurement, or at every step.
        image_size: Side of the images.
    """

    def __init__(
        self, *, model: str, trained: Trained, count: int, batch_size: int, cached: bool, image_size: int = 224
    ) -> None:
        recipe = steps_recipe(model, trained, batch_size=batch_size, image_size=image_size)
        runtime = recipe.runtime.build()
        self.model = build_model(recipe, num_classes=CLASSES, runtime=runtime)
        self.model.network.load_state_dict(network(model, image_size=image_size).state_dict())
        images = data(count, classes=CLASSES, image_size=image_size)
        self._train: Feed
        self._val: Feed
        if cached:
            self._folder = tempfile.TemporaryDirectory()
            self._train, self._val = cached_feeds(
                self.model,
                data=images,
                train_views=(Plain(),),
                val_views=(Plain(),),
                batch_size=batch_size,
                seed=0,
                runtime=runtime,
                cache=FeatureCache(Path(self._folder.name)),
            )
        else:
            ready = partial(
                ReadyImages,
                source=images.source,
                preprocessing=self.model.preprocessing,
                batch_size=batch_size,
                runtime=runtime,
            )
            self._train, self._val = ready(images.train), ready(images.val)
        self._clock = StepClock()
        self._trainer = build_trainer(
            recipe,
            model=self.model,
            data=images,
            batches=len(self._train),
            runtime=runtime,
            checkpoints=self._clock,  # type: ignore[arg-type]  # a Keeper is all it needs
        )

    @property
    def loss(self) -> float:
        """Of the last epoch."""
        return self._trainer.progress.history[-1]["train_loss"]

    def epoch(self) -> Cost:
        """Train one epoch more."""
        self._trainer.config.epochs = self._trainer.progress.epoch + 1
        self._clock.start()
        self._trainer.fit(self._train, self._val)
        return self._clock.cost


def steps_recipe(model: str, trained: Trained, *, batch_size: int, image_size: int) -> Recipe:
    """The base recipe (bf16 where native, channels last, gradients clipped) with the peer's optimiser."""
    recipe = base()
    recipe.name = "benchmark"
    recipe.augment = AugmentConfig(preset="none")
    recipe.model = ModelConfig(name=f"timm/{model}", image_size=image_size, crop_fraction=1.0)
    recipe.tuning = TUNINGS[trained]()
    recipe.optim = SGD(lr=1e-3, weight_decay=2e-5, nesterov=True)
    recipe.schedule.warmup_epochs = 0.0
    recipe.train.batch_size = batch_size
    recipe.runtime.device = "cpu"
    return recipe
