"""The project's side of training a head: features once, then its trainer on the rows."""

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from course import CourseCost
from finegrain_steps import steps_recipe
from memory_images import data
from networks import CLASSES, network
from side import Meter

from finegrain.caching import cached_feeds, train_views
from finegrain.data.feed import Feed, Inputs
from finegrain.engine.trainer import Trainer
from finegrain.features.cache import FeatureCache
from finegrain.features.views import Plain
from finegrain.recipe import build_model, build_trainer


class FinegrainHead:
    """A whole run at each call, from an empty cache; what `main.py train` does between model and judgement.

    Args:
        model: timm's name.
        count: Train images.
        batch_size: Images of a step.
        epochs: Of a run.
        image_size: Side of the images.
    """

    def __init__(self, *, model: str, count: int, batch_size: int, epochs: int, image_size: int = 224) -> None:
        self._recipe = steps_recipe(model, "head", batch_size=batch_size, image_size=image_size)
        self._recipe.train.epochs = epochs
        self._weights = network(model, image_size=image_size).state_dict()
        self._data = data(count, classes=CLASSES, image_size=image_size)
        self._runtime = self._recipe.runtime.build()

    def epoch(self) -> CourseCost:
        """Carry out one run."""
        recipe, runtime = self._recipe, self._runtime
        self.model = build_model(recipe, num_classes=CLASSES, runtime=runtime)
        self.model.network.load_state_dict(self._weights)
        views = train_views(recipe.tuning, recipe.augment, seed=recipe.seed)
        assert views is not None
        with tempfile.TemporaryDirectory() as folder:
            clock = _EpochClock()
            train, val = cached_feeds(
                self.model,
                data=self._data,
                train_views=views,
                val_views=(Plain(),),
                batch_size=recipe.train.batch_size,
                seed=recipe.seed,
                runtime=runtime,
                cache=FeatureCache(Path(folder)),
            )
            clock.read(0)
            trainer = build_trainer(
                recipe,
                model=self.model,
                data=self._data,
                batches=len(train),
                runtime=runtime,
                checkpoints=clock,  # type: ignore[arg-type]  # a Keeper is all it needs
            )
            trainer.fit(train, _Watched(val, clock.validation_begins))
        return clock.cost(len(self._data.train))


class _EpochClock:
    """A keeper that saves nothing and reads the clock after each epoch; validation is not counted."""

    def __init__(self) -> None:
        self._meter = Meter()
        self._after: dict[int, float] = {}
        self._validating_since = self._validation = 0.0

    def read(self, epochs: int) -> None:
        """Note the time after so many epochs."""
        self._after[epochs] = self._meter.read(0).cpu_seconds - self._validation

    def validation_begins(self) -> None:
        """Stop counting until the epoch is saved."""
        self._validating_since = time.process_time()

    def save(self, trainer: Trainer, *, kept: bool) -> None:
        """Save nothing."""
        self._validation += time.process_time() - self._validating_since
        self.read(trainer.progress.epoch)

    def stop_if_asked(self, trainer: Trainer, *, saved: bool = False) -> None:
        """Nobody asks."""

    def cost(self, images: int) -> CourseCost:
        """Of all so far."""
        whole = self._meter.read(images * max(self._after))
        return CourseCost(
            images=whole.images, wall_seconds=whole.wall_seconds, cpu_seconds=whole.cpu_seconds, after=self._after
        )


class _Watched:
    """A feed that says when it is asked for an epoch."""

    def __init__(self, feed: Feed, begins: Callable[[], None]) -> None:
        self.samples, self.batch_size = feed.samples, feed.batch_size
        self._feed, self._begins = feed, begins

    def __len__(self) -> int:
        return len(self._feed)

    def epoch(self, epoch: int, start_step: int = 0) -> Iterator[Inputs]:
        self._begins()
        return self._feed.epoch(epoch, start_step)
