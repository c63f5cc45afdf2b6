"""How much a search may cost: what its trials learn from, for how long, and what the last run takes over from them."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Annotated

from finegrain.config import Count, Range
from finegrain.data.base import Data
from finegrain.data.carve import carve
from finegrain.engine.trainer import TrainConfig
from finegrain.errors import fault
from finegrain.recipe import Recipe
from finegrain.report.search_page import NAMES
from finegrain.report.search_record import Trial
from finegrain.search.ranges import as_words, varied

IMAGES_OF_A_CLASS = 20
"""From fewer, on average, little is learnt of what suits the whole."""


@dataclass(kw_only=True, slots=True)
class Search:
    """How much is tried, and on what."""

    trials: Count = 20
    """By all processes together."""
    fraction: Annotated[float, Range(above=0, most=1)] | None = None
    """Share of train, without the val split that is carved out of it, that trials are trained on; none: a fifth, or
    what gives classes 20 images on average where that is more."""
    epochs: Count | None = None
    """Most epochs of a trial; none: the recipe's."""
    patience: Count | None = 5
    """Epochs without a better figure after which a trial ends; the last run then has as many epochs as the best trial
    took to its best. None: trials have all their epochs, the last run the recipe's."""
    ranges: tuple[str, ...] = ()
    """KEY=LOW..HIGH and KEY=A,B,...; none: the learning rate."""

    def faults(self) -> list[str]:
        """Where the epochs are varied, their range is the limit."""
        if self.epochs is None or not self.varies_epochs:
            return []
        expected, remedy = "none, as train.epochs is varied", "leave it out, and have the range end there"
        return [fault("epochs cannot be", got=self.epochs, expected=expected, remedy=remedy)]

    @property
    def varies_epochs(self) -> bool:
        """Whether trials differ in `train.epochs`."""
        return any(word.startswith("train.epochs=") for word in self.ranges)


def trial_recipe(recipe: Recipe, search: Search) -> Recipe:
    """What all trials have in common: the recipe, as short as `search` has it."""
    train = dataclasses.replace(recipe.train, epochs=search.epochs or recipe.train.epochs)
    if search.patience is not None:  # waiting for a better epoch keeps the best one
        train = dataclasses.replace(train, patience=search.patience, monitor=train.metric)
    return dataclasses.replace(recipe, train=train)


def full_recipe(recipe: Recipe, search: Search, best: Trial) -> tuple[Recipe, list[str]]:
    """The recipe of the run with the best setting, and the words by which it differs from `recipe`."""
    full, words = varied(recipe, best.values), as_words(best.values)
    if search.patience is not None and best.kept_epoch is not None:
        full.train.epochs = max(best.kept_epoch + 1, math.ceil(full.schedule.warmup_epochs))
        words = [word for word in words if not word.startswith("train.epochs=")]
        words.append(f"train.epochs={full.train.epochs}")
    return full, words


def divide(data: Data, recipe: Recipe, *, fraction: float | None) -> Data:
    """What the trials see: a val split carved out of train, and `fraction` of the rest to train on.

    Their val split also stands in for test, which they must not see.
    """
    inner = carve(data.train, fraction=recipe.data.val_fraction, seed=recipe.seed)
    if fraction is None:
        fraction = min(max(0.2, IMAGES_OF_A_CLASS * len(data.class_names) / len(inner.kept)), 1.0)
    part = carve(inner.kept, fraction=1 - fraction, seed=recipe.seed).kept if fraction < 1 else inner.kept
    return dataclasses.replace(data, train=part, val=inner.taken, test=inner.taken, dropped=(), notes=())


def in_words(recipe: Recipe, search: Search, data: Data, *, full: Recipe) -> list[str]:
    """How it was searched, for a reader who knows neither the recipe nor this file.

    Args:
        recipe: That was varied.
        search: How much was tried.
        data: That the trials saw.
        full: Of the run with the best setting.
    """
    short = trial_recipe(recipe, search)
    spared, epochs = spared_epochs(short), f"{short.train.epochs} epochs"
    course = _length(short.train, "the epochs of its setting" if search.varies_epochs else epochs)
    last = f"it has {_length(full.train, f'{full.train.epochs} epochs')}."
    if search.patience is not None:
        last += " They are as many as the best trial took to its best, or its warm-up if longer, and its schedule fits."
    return [
        f"The trials were trained on {len(data.train):,} images of train, and judged on {len(data.val):,} others, "
        f"which were carved out of it, stratified by class, groups together: one of these is "
        f"{100 / len(data.val):.2g} points. No trial read test, or a val split that the dataset ships.",
        f"What chose is {NAMES[recipe.train.metric]} at the epoch that a trial keeps; of equal ones the smaller loss. "
        f"A trial has {course}.",
        "The values come from TPE (Bergstra et al. 2011), those of the first ten trials from chance; where the "
        "recipe's own lie in the ranges, they come first. Values that come again are not trained again.",
        f"From the sixth on a trial was stopped at an epoch{f' after number {spared}' if spared else ''} where its "
        "best so far was worse than the median of the finished trials.",
        f"The run with the best setting learns from all of train, by the same recipe, in epochs of more steps: {last}",
    ]


def spared_epochs(recipe: Recipe) -> int:
    """No trial is stopped in the warm-up, nor in the first quarter, in which a large learning rate looks best."""
    return max(math.ceil(recipe.schedule.warmup_epochs), recipe.train.epochs // 4)


def _length(train: TrainConfig, epochs: str) -> str:
    """How long a training takes, for people; `epochs` says how many it has at most."""
    if train.max_steps is not None:
        epochs += f", or {train.max_steps:,} steps where those are fewer"
    return epochs if train.patience is None else f"{epochs}, and ends after {train.patience} without a better figure"
