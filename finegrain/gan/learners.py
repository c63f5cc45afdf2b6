"""How an arm of a verdict is trained: heads on frozen features, or all that the recipe tunes; in equal steps."""

import dataclasses
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from finegrain.data.base import Data, Sample
from finegrain.data.loader import batches
from finegrain.engine.checkpoint import read_course
from finegrain.engine.evaluate import predict
from finegrain.errors import ConfigError, fault, fault_list
from finegrain.features.cache import FeatureCache
from finegrain.features.minibatch import MiniBatchGrid
from finegrain.judgement import best_model
from finegrain.optim.constant import Constant
from finegrain.optim.cosine import Cosine
from finegrain.recipe import Recipe, build_feeds, build_model, fit
from finegrain.runtime import Runtime, Stopwatch
from finegrain.storage import RunDirectory
from finegrain.tuning.gradual import Gradual

logger = logging.getLogger(__name__)

RATES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
"""Learning rates of heads, of which val chooses one for each arm: how far a head moves in a given number of steps."""
EPOCHS, BATCH_SIZE = 20, 128
"""Of heads, over the real images: they give the steps of all arms."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """What val says of one trained classifier."""

    top1: float
    log_loss: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Learned:
    """The classifiers of one arm and seed, one for each of the learner's strengths."""

    scores: tuple[Score, ...]
    hits: Callable[[int], NDArray[np.bool_]]
    """Whether the classifier of one strength recognises each test image [N]: nothing sees test before it is called."""


class Learner(Protocol):
    """Trains classifiers, all by the same number of steps."""

    steps: int
    """Of the optimiser."""
    strengths: tuple[str, ...]
    """What val may choose from, in words; one empty one where nothing is to be chosen."""

    def learn(self, name: str, data: Data, *, seed: int) -> Learned:
        """Train on `data.train`; `name` is unlike that of any other arm and seed."""
        ...

    def words(self) -> Sequence[str]:
        """How it trains, a sentence each."""
        ...


class HeadLearner:
    """Linear heads on features that are computed once, by mini-batches of AdamW.

    Not to the optimum, although that is quick: it has no steps that could be equal and no seed, a duplicate is to it
    only a weight, and over "seeds" that cannot differ there is no interval.
    """

    def __init__(self, data: Data, features: Callable[[Sequence[Sample]], Tensor], *, device: torch.device) -> None:
        """Remember the real images.

        Args:
            data: Real images: the number of those to train on gives the steps.
            features: Of images, float32 [N, D].
            device: Where to compute.
        """
        self.steps = EPOCHS * -(-len(data.train) // BATCH_SIZE)
        self.strengths = tuple(f"lr {rate:g}" for rate in RATES)
        self._features, self._device = features, device
        self._val = self._rows(data.val)

    def learn(self, name: str, data: Data, *, seed: int) -> Learned:
        """One head for each rate; the seed gives the order of the images."""
        rows, labels = self._rows(data.train)
        everything = torch.ones(1, len(labels), dtype=torch.bool, device=self._device)
        grid = MiniBatchGrid(lrs=RATES, steps=self.steps, batch_size=BATCH_SIZE, seed=seed)
        trained = grid.fit(rows, labels, train=everything, num_classes=len(data.class_names))
        heads = [one.head for one in trained]
        logits = [head(self._val[0]).double() for head in heads]
        truth = self._val[1]
        return Learned(
            scores=tuple(
                Score(top1=float((x.argmax(1) == truth).double().mean()), log_loss=float(F.cross_entropy(x, truth)))
                for x in logits
            ),
            hits=lambda choice: self._hits(heads[choice], data.test),
        )

    def words(self) -> Sequence[str]:
        """How heads are trained."""
        rates = ", ".join(f"{rate:g}" for rate in RATES)
        return (
            "Each arm and seed is a linear head on what the frozen network says of each image plainly seen, "
            f"standardised by the images it is trained on: {self.steps:,} steps of AdamW on {BATCH_SIZE} images, from "
            "zero weights, the rate falling to 0 along a cosine.",
            "The recipe's loss, optimiser, schedule and epochs had no part in it.",
            f"For each arm val chose one of the rates {rates}, by its mean over the seeds.",
            "A seed gives the order of the images, and which generated ones are taken.",
        )

    def _rows(self, samples: Sequence[Sample]) -> tuple[Tensor, Tensor]:
        labels = torch.tensor([sample.label for sample in samples])
        return self._features(samples).to(self._device), labels.to(self._device)

    def _hits(self, head: torch.nn.Module, test: Sequence[Sample]) -> NDArray[np.bool_]:
        rows, labels = self._rows(test)
        hits: NDArray[np.bool_] = (head(rows).argmax(1) == labels).cpu().numpy()
        return hits


class FineTuner:
    """Trains as `main.py train` does, each arm and seed in a run directory of its own, which goes on when stopped."""

    strengths: tuple[str, ...] = ("",)

    def __init__(self, recipe: Recipe, data: Data, *, folder: Path, runtime: Runtime, cache: FeatureCache) -> None:
        """Count the steps that `recipe` takes on the real images.

        Raises:
            ConfigError: What the recipe does after a number of epochs would come after other steps in every arm.
        """
        _refuse_epochs(recipe)
        self._recipe, self._folder, self._runtime, self._cache = recipe, folder, runtime, cache
        self._per_epoch = self._steps_of_epoch(len(data.train))
        planned = recipe.train.epochs * self._per_epoch
        self.steps = min(planned, recipe.train.max_steps or planned)

    def learn(self, name: str, data: Data, *, seed: int) -> Learned:
        """One training, or what is left of it."""
        recipe = self._in_equal_steps(len(data.train), seed=seed)
        open_run = partial(RunDirectory, self._folder / name, resume=True)
        with open_run() as own:
            if not (own.begun and read_course(own).finished):
                logger.info("%s: %d images, %d steps", name, len(data.train), self.steps)
                model = build_model(recipe, num_classes=len(data.class_names), runtime=self._runtime)
                fit(
                    recipe,
                    model,
                    data=data,
                    directory=own,
                    runtime=self._runtime,
                    cache=self._cache,
                    clock=Stopwatch(),
                )
            course = read_course(own)
        (kept,) = [row for row in course.history if row["epoch"] == course.kept_epoch]

        def hits(_: int) -> NDArray[np.bool_]:
            with open_run() as own:
                best = best_model(own, class_names=data.class_names, runtime=self._runtime, trust=recipe.model.trust)
            feeds = build_feeds(recipe, data=data, preprocessing=best.preprocessing, runtime=self._runtime)
            said = predict(best, feeds.test, runtime=self._runtime, title=f"{name} on test")
            right: NDArray[np.bool_] = said.probabilities.argmax(axis=1) == said.labels
            return right

        return Learned(scores=(Score(top1=kept["eval_top1"], log_loss=kept["eval_loss"]),), hits=hits)

    def words(self) -> Sequence[str]:
        """How the recipe trains here."""
        train = self._recipe.train
        kept = "the last epoch was kept" if train.monitor == "last" else f"val chose the epoch, by {train.monitor}"
        return (
            f"Each arm and seed is a training by the recipe, {self.steps:,} optimiser steps in all arms: with more "
            f"images they are fewer epochs, the last of which may be cut short; warm-up and schedule follow the steps; "
            f"{kept}.",
            "A seed gives first weights, order and augmentation, and which generated images are taken.",
            *self._recipe.evaluation.notes(),
        )

    def _in_equal_steps(self, images: int, *, seed: int) -> Recipe:
        recipe, per_epoch = self._recipe, self._steps_of_epoch(images)
        epochs = math.ceil(self.steps / per_epoch)
        warmup = min(recipe.schedule.warmup_epochs * self._per_epoch / per_epoch, epochs)
        return dataclasses.replace(
            recipe,
            seed=seed,
            train=dataclasses.replace(recipe.train, epochs=epochs, max_steps=self.steps),
            schedule=dataclasses.replace(recipe.schedule, warmup_epochs=warmup),
        )

    def _steps_of_epoch(self, images: int) -> int:
        train = self._recipe.train
        return -(-len(batches(images, batch_size=train.batch_size, train=True)) // train.accumulate_steps)


def _refuse_epochs(recipe: Recipe) -> None:
    remedy = "leave it out, or judge by a head: tuning=Head(), augment.preset=none"
    counts = {
        "train.patience stops arms after different steps": recipe.train.patience is not None,
        f"{type(recipe.schedule).__name__} counts epochs": not isinstance(recipe.schedule, Cosine | Constant),
        f"{type(recipe.tuning).__name__} counts epochs": isinstance(recipe.tuning, Gradual),
    }
    expected = "the same after as many steps in every arm"
    got = "epochs of different lengths"
    faults = [fault(what, got=got, expected=expected, remedy=remedy) for what, holds in counts.items() if holds]
    if faults:
        raise ConfigError(fault_list("the arms cannot be trained in equal steps", faults))
