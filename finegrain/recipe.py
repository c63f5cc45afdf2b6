"""The recipe of a run and the one path that carries it out: data, model, training, one test, report."""

import logging
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from finegrain import caching, config
from finegrain.data import splits
from finegrain.data.base import SYNTHETIC_FRACTION, Data, DataConfig
from finegrain.data.feed import Feed, ImageFeed
from finegrain.data.generated import TRAIN_IMAGES, listed
from finegrain.data.loader import Loader
from finegrain.data.transforms import AugmentConfig, eval_transform, eval_views
from finegrain.engine.checkpoint import Checkpoints, read_course
from finegrain.engine.ema import WeightEMA
from finegrain.engine.evaluate import EvaluationConfig
from finegrain.engine.history import TensorBoardLog
from finegrain.engine.interrupt import Interrupt
from finegrain.engine.trainer import Keeper, TrainConfig, Trainer
from finegrain.errors import fault
from finegrain.features.cache import FeatureCache
from finegrain.features.extract import extract
from finegrain.features.probe import fit_probe
from finegrain.features.views import evaluation_views
from finegrain.judgement import REPORT, STRUCTURE, CountedFeed, best_model, judge, judged
from finegrain.losses.base import LossConfig
from finegrain.metrics.confidence import Promises
from finegrain.models.adapter_folder import save_adapter
from finegrain.models.classifier import Classifier
from finegrain.models.config import ModelConfig
from finegrain.models.summary import structure
from finegrain.models.weights import save_folder
from finegrain.optim.base import OptimConfig
from finegrain.optim.penalty import PenaltyConfig
from finegrain.optim.schedule import ScheduleConfig
from finegrain.preprocessing import Preprocessing
from finegrain.runtime import Runtime, RuntimeConfig, Stopwatch, device_faults, seed_of
from finegrain.storage import RunDirectory, name_faults
from finegrain.tuning.base import Tuning

logger = logging.getLogger(__name__)

FEATURES = "features"
"""Folder, in a run's directory, of what its frozen network gave, unless the user keeps a cache of his own."""


@dataclass(kw_only=True, slots=True)
class Recipe:
    """All that defines a run; the same recipe gives the same numbers."""

    name: str
    """Names the folder of its runs, ckpt/<name>/."""
    seed: int = 0
    """Seed of the head's first weights, of order, augmentation and dropout."""
    data: DataConfig
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    model: ModelConfig
    tuning: Tuning
    loss: LossConfig
    penalty: PenaltyConfig = field(default_factory=PenaltyConfig)
    optim: OptimConfig
    schedule: ScheduleConfig
    train: TrainConfig = field(default_factory=TrainConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)

    def faults(self) -> list[str]:
        """A name must do as a folder's name, and the warm-up must fit into the run."""
        faults = name_faults(self.name)
        if self.schedule.warmup_epochs > self.train.epochs:
            faults.append(
                fault(
                    "schedule.warmup_epochs is longer than the run",
                    got=self.schedule.warmup_epochs,
                    expected=f"at most train.epochs, {self.train.epochs}",
                    remedy="lower it",
                )
            )
        faults += caching.faults(self.tuning, self.augment, self.evaluation)
        if self.data.synthetic is None and self.data.synthetic_fraction != SYNTHETIC_FRACTION:
            remedy = "set data.synthetic to a version that main_gan.py --gen wrote, or leave it out"
            got, expected = self.data.synthetic_fraction, "generated images to take a share of"
            faults.append(fault("data.synthetic_fraction has no effect", got=got, expected=expected, remedy=remedy))
        if self.model.weights is not None and not self.tuning.pretrained:
            faults.append(
                fault(
                    "this tuning starts from random weights",
                    got=f"model.weights={self.model.weights}",
                    expected="none",
                    remedy="set model.weights=none, or choose the tuning Full",
                )
            )
        return faults


@dataclass(frozen=True, kw_only=True, slots=True)
class Feeds:
    """What the model is fed, by split."""

    train: Feed
    val: Feed
    test: Feed


def run(recipe: Recipe, *, directory: RunDirectory, promises: Promises | None = None) -> str:
    """Train, evaluate once on the test split, write the report; return the result in one line.

    Where `evaluation.test_curve` asks for it, test is evaluated after every epoch too, and nothing chosen by it.

    A directory that holds checkpoints of this recipe is gone on with, from the newest. `promises` is for
    `judgement.judge`.
    """
    clock = Stopwatch()
    with directory, device_faults():
        runtime = recipe.runtime.build()
        table = recipe.data.table()
        with clock("model"):
            model = build_model(recipe, num_classes=len(table.class_names), runtime=runtime)
        with clock("data"):
            data = splits.build(recipe.data, table)
        finished_before = judged(directory)
        cache = build_cache(recipe.runtime, run=directory.path)
        if not directory.begun:
            directory.write(STRUCTURE, structure(model))
        test = None
        if recipe.evaluation.test_curve:
            feeds = build_feeds(recipe, data=data, preprocessing=model.preprocessing, runtime=runtime)
            test = CountedFeed(feeds.test, directory=directory)
        fit(recipe, model, data=data, test=test, directory=directory, runtime=runtime, cache=cache, clock=clock)
        if finished_before:
            return f"{recipe.name}: finished before, nothing is left to do\n{directory.path / REPORT}"
        best = best_model(directory, class_names=data.class_names, runtime=runtime, trust=recipe.model.trust)
        result = judge_best(
            recipe, best, data=data, directory=directory, promises=promises, runtime=runtime, cache=cache, clock=clock
        )
        shutil.rmtree(directory.path / FEATURES, ignore_errors=True)
        return result


def evaluate(recipe: Recipe, *, directory: RunDirectory, promises: Promises | None = None) -> str:
    """Judge the best model of a run again, on the run's own splits; the report counts one more test evaluation."""
    clock = Stopwatch()
    with directory, device_faults():
        runtime = recipe.runtime.build()
        table = recipe.data.table()
        best = best_model(directory, class_names=table.class_names, runtime=runtime, trust=recipe.model.trust)
        course = read_course(directory)
        with clock("data"):
            data = splits.build(recipe.data, table)
        course.require_same_splits(data.identity())
        cache = build_cache(recipe.runtime, run=directory.path)
        result = judge_best(
            recipe, best, data=data, directory=directory, promises=promises, runtime=runtime, cache=cache, clock=clock
        )
        if course.finished:  # else the features wait for the training to go on
            shutil.rmtree(directory.path / FEATURES, ignore_errors=True)
        return result


def fit(
    recipe: Recipe,
    model: Classifier,
    *,
    data: Data,
    directory: RunDirectory,
    runtime: Runtime,
    cache: FeatureCache,
    clock: Stopwatch,
    test: Feed | None = None,
    on_epoch: Callable[[Mapping[str, float]], None] = lambda row: None,
) -> None:
    """Train `model` on the train split and keep its best epoch by validation in `directory`.

    Args:
        recipe: Says how.
        model: Of `build_model`; afterwards of no use, as it may take no images any more.
        data: The splits.
        directory: Open; gone on with where it holds checkpoints of this recipe.
        runtime: Where and how to compute.
        cache: Keeps what the frozen part of the network gives.
        clock: Adds the time spent to its phases.
        test: Judged after every epoch, for the curves alone; none: test is not looked at.
        on_epoch: Receives each epoch's row of the history once it is saved; training ends with what it raises.
    """
    if recipe.tuning.probe_first and not directory.begun:
        with clock("probe"):
            start_at_probe(model, data=data, seed=recipe.seed, runtime=runtime, cache=cache)
    if judged(directory):  # nothing is left to train, so nothing is computed for it
        feeds = build_feeds(recipe, data=data, preprocessing=model.preprocessing, runtime=runtime)
        train, val = feeds.train, feeds.val
    else:
        train, val = training_feeds(recipe, model, data=data, runtime=runtime, cache=cache, clock=clock)
    with clock("training"), Interrupt() as interrupt, TensorBoardLog(directory.path / "tensorboard") as log:
        checkpoints = build_checkpoints(
            recipe, directory=directory, data=data, model=model, runtime=runtime, interrupt=interrupt
        )
        trainer = build_trainer(
            recipe, model=model, data=data, batches=len(train), runtime=runtime, checkpoints=checkpoints
        )
        checkpoints.resume(trainer)
        directory.write("config.py", config.dump(recipe))

        def tell(row: Mapping[str, float]) -> None:
            log(row)
            on_epoch(row)

        trainer.fit(train, val, test, on_epoch=tell)


def training_feeds(
    recipe: Recipe, model: Classifier, *, data: Data, runtime: Runtime, cache: FeatureCache, clock: Stopwatch
) -> tuple[Feed, Feed]:
    """Train and val as the loop reads them: images, or what the frozen part of `model` gives, computed once.

    In the second case `model` takes no images any more.
    """
    views = caching.train_views(recipe.tuning, recipe.augment, seed=recipe.seed)
    if views is None:
        feeds = build_feeds(recipe, data=data, preprocessing=model.preprocessing, runtime=runtime)
        return feeds.train, feeds.val
    with clock("features"):
        return caching.cached_feeds(
            model,
            data=data,
            train_views=views,
            val_views=evaluation_views(model.preprocessing, recipe.evaluation.views),
            batch_size=recipe.train.batch_size,
            seed=recipe.seed,
            runtime=runtime,
            cache=cache,
        )


def judge_best(
    recipe: Recipe,
    best: Classifier,
    *,
    data: Data,
    directory: RunDirectory,
    promises: Promises | None,
    runtime: Runtime,
    cache: FeatureCache,
    clock: Stopwatch,
) -> str:
    """Judge the best model of the run in `directory` on val and test, and write the report; see `judgement.judge`."""
    feeds = build_feeds(recipe, data=data, preprocessing=best.preprocessing, runtime=runtime)
    return judge(
        best,
        course=read_course(directory),
        directory=directory,
        data=data,
        val=feeds.val,
        test=feeds.test,
        evaluation=recipe.evaluation,
        promises=promises,
        runtime=runtime,
        cache=cache,
        clock=clock,
    )


def build_model(recipe: Recipe, *, num_classes: int, runtime: Runtime) -> Classifier:
    """The classifier on its device, with what the tuning freezes frozen."""
    torch.manual_seed(seed_of(recipe.seed, "weights"))
    model = recipe.model.build(num_classes=num_classes, train_size=recipe.augment.image_size)
    recipe.tuning.apply(model)
    runtime.place_model(model)
    logger.info("%s: %s", model.architecture, model.census())
    return model


def build_cache(config: RuntimeConfig, *, run: Path) -> FeatureCache:
    """The folder of features that the user keeps, or one in the run's directory that is removed when it is done."""
    folder = run / FEATURES if config.cache is None else Path(config.cache).expanduser()
    limit = None if config.cache_limit_gb is None else round(config.cache_limit_gb * 1e9)
    return FeatureCache(folder, limit_bytes=limit)


def start_at_probe(model: Classifier, *, data: Data, seed: int, runtime: Runtime, cache: FeatureCache) -> None:
    """Give the head the weights of a linear probe of the features it reads."""
    exact = replace(runtime, compile="never")  # whether compiling pays is a matter of time: a rerun may differ
    features = extract(data.train, source=data.source, classifier=model, runtime=exact, cache=cache)
    probe = fit_probe(features.values.float().numpy(), data.train, seed=seed)
    model.set_head(torch.from_numpy(probe.weight), torch.from_numpy(probe.bias))


def build_feeds(recipe: Recipe, *, data: Data, preprocessing: Preprocessing, runtime: Runtime) -> Feeds:
    """The images of the three splits; evaluated ones in the views that the recipe names."""
    load = partial(
        Loader,
        source=data.source,
        batch_size=recipe.train.batch_size,
        seed=recipe.seed,
        num_workers=runtime.num_workers,
    )
    shown = eval_transform(preprocessing, eval_views(preprocessing, recipe.evaluation.views))
    evaluate = partial(load, transform=shown, train=False)
    feed = partial(ImageFeed, preprocessing=preprocessing, runtime=runtime)
    return Feeds(
        train=feed(load(data.train, transform=recipe.augment.train_transform(preprocessing), train=True)),
        val=feed(evaluate(data.val)),
        test=feed(evaluate(data.test)),
    )


def build_trainer(
    recipe: Recipe, *, model: Classifier, data: Data, batches: int, runtime: Runtime, checkpoints: Keeper
) -> Trainer:
    """The training loop with all its parts; `batches` is their number in an epoch."""
    optimizer = recipe.optim.build(model)
    per_epoch, epochs = -(-batches // recipe.train.accumulate_steps), float(recipe.train.epochs)
    if recipe.train.max_steps is not None:  # the rate falls to its end within them
        epochs = min(epochs, max(recipe.train.max_steps / per_epoch, recipe.schedule.warmup_epochs))
    schedule = recipe.schedule.build(optimizer, steps_per_epoch=per_epoch, epochs=epochs)
    decay = recipe.train.ema_decay
    penalty = recipe.penalty.build(model)
    return Trainer(
        config=recipe.train,
        model=model,
        loss=recipe.loss.build(class_counts=data.class_counts()).to(runtime.device),
        penalty=penalty,
        watch=penalty.watch,
        optimizer=optimizer,
        schedule=schedule,
        runtime=runtime,
        mix=recipe.augment.mix(len(data.class_names)),
        ema=WeightEMA(model, decay=decay) if decay is not None else None,
        seed=recipe.seed,
        keeper=checkpoints,
        begin_epoch=lambda epoch: recipe.tuning.begin_epoch(model, epoch=epoch),
    )


def build_checkpoints(
    recipe: Recipe,
    *,
    directory: RunDirectory,
    data: Data,
    model: Classifier,
    runtime: Runtime,
    interrupt: Interrupt,
) -> Checkpoints:
    """What saves the run, having made sure that the disk has room for it."""
    weights = sum(tensor.nbytes for tensor in model.state_dict().values())
    trained = sum(parameter.nbytes for parameter in model.trainable_parameters())
    one_state = weights * (2 if recipe.train.ema_decay is not None else 1) + 2 * trained
    directory.require_space(3 * (one_state + weights))
    identity = identify(recipe, data=data, model=model, runtime=runtime)
    write = partial(write_best, recipe=recipe, class_names=data.class_names, train_images=listed(data.train_images()))
    return Checkpoints(directory, identity=identity, write_model=write, interrupt=interrupt)


def identify(recipe: Recipe, *, data: Data, model: Classifier, runtime: Runtime) -> dict[str, Any]:
    """All that the numbers of a run depend on; how images are loaded, how often is saved or shown changes none."""
    free = (
        "evaluation.test_curve",
        "runtime.num_workers",
        "runtime.compile",
        "runtime.cache",
        "runtime.cache_limit_gb",
        "train.save_steps",
        "data.root",
        "data.synthetic",
        "data.pixel_cache",
    )
    sections = ("data", "tuning", "loss", "optim", "schedule")
    return {
        "architecture": model.architecture,
        "class_names": data.class_names,
        **{section: type(getattr(recipe, section)).__name__ for section in sections},
        **data.identity(),
        **{key: value for key, value in config.flatten(recipe).items() if key not in free},
        "trainable parameters": model.census().trainable,
        "device": runtime.device.type,
        "precision": runtime.precision,
    }


def write_best(
    model: nn.Module, folder: Path, *, recipe: Recipe, class_names: tuple[str, ...], train_images: bytes
) -> None:
    """Write the best model so far as a folder that this project and timm load as it is, an adapter apart as well.

    What it was trained on is written beside it: generated images that it chooses know these, too.
    """
    assert isinstance(model, Classifier)
    save_folder(model, folder, class_names=class_names, extra={"recipe": config.dump(recipe)})
    (folder / TRAIN_IMAGES).write_bytes(train_images)
    if recipe.tuning.small:
        save_adapter(model, folder / "adapter", class_names=class_names, weights=recipe.model.weights)
