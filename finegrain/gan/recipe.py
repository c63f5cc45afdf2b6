"""The one path that carries out the recipe of a generator: data, networks, training, report."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from finegrain import config
from finegrain.data import splits
from finegrain.data.base import Data, Sample, Source
from finegrain.data.feed import ImageFeed
from finegrain.data.loader import Loader
from finegrain.data.transforms import eval_transform
from finegrain.engine.checkpoint import Checkpoints
from finegrain.engine.ema import WeightEMA
from finegrain.engine.history import TensorBoardLog
from finegrain.engine.interrupt import Interrupt
from finegrain.errors import CheckpointError, DataError, fault, fault_list
from finegrain.gan.generator_folder import read_generator, write_generator
from finegrain.gan.latent import across, walks
from finegrain.gan.methods.base import GenerativeRecipe
from finegrain.gan.nearest import MOST as MOST_THUMBNAILS
from finegrain.gan.nearest import Thumbnails, thumbnails_of
from finegrain.gan.networks.sampler import Sampler
from finegrain.gan.pictures import grid, png, to_pixels
from finegrain.gan.selection import Selection, classifier_features, images_of, pixel_components
from finegrain.gan.together import Together
from finegrain.gan.trainer import GeneratorTrainer
from finegrain.preprocessing import Preprocessing
from finegrain.replicas import Replicas, join
from finegrain.report.gan import GanReport
from finegrain.runtime import Runtime, Stopwatch, device_faults, environment, seed_of
from finegrain.storage import RunDirectory

logger = logging.getLogger(__name__)

CONFIG, GRIDS, GRID, EXTRACTOR = "config.py", "grids", "step-{step:06d}.png", "pixel_components.safetensors"
COLUMNS, MOST_ROWS = 8, 20
"""Images of a class in a grid, and classes."""
ROOM = "lower train.batch_size or the networks' width"
"""What makes room in the device's memory."""


def run(recipe: GenerativeRecipe, *, directory: RunDirectory) -> str:
    """Train on the train split, keep the generator nearest to val, write the report; return the result in one line.

    A directory that holds checkpoints of this recipe is gone on with, from the newest. Of several processes that
    torchrun started the first does this; the others follow it, and have nothing to say.
    """
    clock, replicas = Stopwatch(), join()
    if not replicas.leads:
        return follow(recipe, directory=directory, replicas=replicas)
    with directory, device_faults(room=ROOM):
        runtime = replace(recipe.runtime.build(), replicas=replicas)
        with clock("data"):
            data = splits.build(recipe.data, recipe.data.table())
            require_images(data)
            selection = build_selection(recipe, directory=directory, data=data, runtime=runtime)
        with clock("training"), Interrupt() as interrupt:
            trainer = build_trainer(
                recipe, data=data, selection=selection, directory=directory, runtime=runtime, interrupt=interrupt
            )
            with TensorBoardLog(directory.path / "tensorboard", over="step") as log:
                trainer.fit(
                    train_feed(recipe, data, runtime), on_row=partial(write_row, log=log, folder=directory.path / GRIDS)
                )
        return report(recipe, trainer, data=data, selection=selection, directory=directory, clock=clock)


def follow(recipe: GenerativeRecipe, *, directory: RunDirectory, replicas: Replicas) -> str:
    """Take the steps that the first process takes, on other images of each batch; write nothing, and say nothing."""
    logging.getLogger("finegrain").setLevel(logging.WARNING)
    with device_faults(room=ROOM), Interrupt() as interrupt:
        runtime = replace(recipe.runtime.build(), replicas=replicas)
        data = splits.build(recipe.data, recipe.data.table())
        trainer = build_trainer(
            recipe, data=data, selection=None, directory=directory, runtime=runtime, interrupt=interrupt
        )
        trainer.fit(train_feed(recipe, data, runtime))
    return ""


def require_images(data: Data) -> None:
    """Refuse classes of one train image: nothing but copies of it could be learned.

    Raises:
        DataError: There are some.
    """
    expected, remedy = "at least 2, and better 100", "add images, or leave the class out"
    faults = [
        fault("a class with one train image", got=name, expected=expected, remedy=remedy)
        for name, count in zip(data.class_names, data.class_counts(), strict=True)
        if count < 2
    ]
    if faults:
        raise DataError(fault_list("the train split cannot be generated from", faults))


def build_feed(
    recipe: GenerativeRecipe, samples: Sequence[Sample], source: Source, runtime: Runtime, *, train: bool = False
) -> ImageFeed:
    """Central squares of `samples` as float32 [B, 3, S, S] in [−1, 1], in an order of chance to `train`."""
    size, half = recipe.image_size, (0.5, 0.5, 0.5)
    preprocessing = Preprocessing(image_size=size, resize_size=size, mean=half, std=half, interpolation="bicubic")
    loader = Loader(
        samples,
        source=source,
        transform=eval_transform(preprocessing),
        batch_size=recipe.train.batch_size,
        seed=recipe.seed,
        train=train,
        num_workers=runtime.num_workers,
    )
    return ImageFeed(loader, preprocessing=preprocessing, runtime=runtime)


def train_feed(recipe: GenerativeRecipe, data: Data, runtime: Runtime) -> ImageFeed:
    """All that the networks learn from."""
    return build_feed(recipe, data.train, data.source, runtime, train=True)


def build_selection(recipe: GenerativeRecipe, *, directory: RunDirectory, data: Data, runtime: Runtime) -> Selection:
    """What chooses the generator: it compares images by a classifier's features, or by their pixels."""
    if recipe.selection.classifier is not None:
        extract = classifier_features(recipe.selection.classifier, runtime)
    else:
        train = train_feed(recipe, data, runtime)
        extract = pixel_components(lambda most: images_of(train, most)[0], directory.path / EXTRACTOR)
    val = build_feed(recipe, data.val, data.source, runtime)
    return Selection(extract, val=val, samples=recipe.selection.samples, seed=recipe.seed)


def build_networks(recipe: GenerativeRecipe, *, num_classes: int) -> dict[str, nn.Module]:
    """The networks by name with their first weights, a function of the seed."""
    torch.manual_seed(seed_of(recipe.seed, "weights"))
    return recipe.networks(num_classes)


def build_trainer(
    recipe: GenerativeRecipe,
    *,
    data: Data,
    selection: Selection | None,
    directory: RunDirectory,
    runtime: Runtime,
    interrupt: Interrupt,
) -> GeneratorTrainer:
    """The loop with all its parts, where the newest checkpoint stands; a process that follows has no `selection`."""

    def seen() -> Thumbnails:
        shown = data.train[:: -(-len(data.train) // MOST_THUMBNAILS)]
        return thumbnails_of(build_feed(recipe, shown, data.source, runtime))

    networks = build_networks(recipe, num_classes=len(data.class_names))
    if runtime.replicas.leads:
        weights = sum(tensor.nbytes for network in networks.values() for tensor in network.state_dict().values())
        directory.require_space(3 * 5 * weights)
    checkpoints = Checkpoints(
        directory,
        identity=identify(recipe, data=data, runtime=runtime),
        write_model=partial(write_best, recipe=recipe, data=data, thumbnails=cache(seen)),
        interrupt=interrupt,
    )
    method = recipe.method(networks, runtime)
    trainer = GeneratorTrainer(
        config=recipe.train,
        method=method,
        average=WeightEMA(method.model, decay=recipe.train.ema_decay),
        runtime=runtime,
        seed=recipe.seed,
        keeper=Together(checkpoints, interrupt=interrupt, runtime=runtime),
        evaluate=partial(evaluate, recipe=recipe, selection=selection, directory=directory, runtime=runtime),
    )
    runtime.replicas.wait()  # the first has removed what a crash left, and saves nothing before the others' first step
    checkpoints.resume(trainer)
    if runtime.replicas.leads:
        directory.write(CONFIG, config.dump(recipe))
    return trainer


def identify(recipe: GenerativeRecipe, *, data: Data, runtime: Runtime) -> dict[str, Any]:
    """All that the numbers of a run depend on, the images of its train split above all."""
    sections = {field.name: getattr(recipe, field.name) for field in fields(recipe)}
    free = ("runtime.num_workers", "data.root", "data.pixel_cache")
    return {
        "class_names": data.class_names,
        "recipe": type(recipe).__name__,
        **{name: type(section).__name__ for name, section in sections.items() if is_dataclass(section)},
        **data.identity(),
        **{key: value for key, value in config.flatten(recipe).items() if key not in free},
        "device": runtime.device.type,
        "precision": runtime.precision,
        "processes": runtime.replicas.count,
    }


def write_best(
    model: nn.Module, folder: Path, *, recipe: GenerativeRecipe, data: Data, thumbnails: Callable[[], Thumbnails]
) -> None:
    """Write the best generator so far as a folder that `read_generator` reads."""
    assert isinstance(model, Sampler)
    write_generator(
        model,
        folder,
        config=recipe.sampler,
        image_size=recipe.image_size,
        class_names=data.class_names,
        class_counts=data.class_counts(),
        data=data.identity(),
        train_images=data.train_images(),
        recipe=config.dump(recipe),
        thumbnails=thumbnails(),
    )


def evaluate(
    generator: Sampler,
    step: int,
    *,
    recipe: GenerativeRecipe,
    selection: Selection | None,
    directory: RunDirectory,
    runtime: Runtime,
) -> Mapping[str, float]:
    """Draw the grid of this step, and compare the generator's images with val's; a process that follows is told."""
    found = {"kernel_distance": 0.0, "diversity": 0.0}
    if selection is not None:
        (directory.path / GRIDS).mkdir(exist_ok=True)
        directory.write(f"{GRIDS}/{GRID.format(step=step)}", draw(generator, seed=recipe.seed))
        found = selection(generator)
    return runtime.replicas.as_first(found, runtime.device)


def write_row(row: Mapping[str, float], *, log: TensorBoardLog, folder: Path) -> None:
    """Log the row of an evaluation, and the grid in `folder` that it drew."""
    step = int(row["step"])
    log.picture("grid", np.asarray(Image.open(folder / GRID.format(step=step))), step)
    log(row)


def draw(generator: Sampler, *, seed: int) -> bytes:
    """A grid as PNG, a class a row: the noise of every place is always the same."""
    rows = min(generator.num_classes, MOST_ROWS)
    labels = [row for row in range(rows) for _ in range(COLUMNS)]
    seeds = [seed_of(seed, "grid", place) for place in range(len(labels))]
    return png(grid(to_pixels(generator.sample(labels, seeds)), columns=COLUMNS))


def draw_real(recipe: GenerativeRecipe, data: Data, runtime: Runtime) -> bytes:
    """The same grid of train images; a class of fewer repeats them."""
    by_class = [[s for s in data.train if s.label == label] for label in range(min(len(data.class_names), MOST_ROWS))]
    shown = [samples[place % len(samples)] for samples in by_class for place in range(COLUMNS)]
    images, _ = images_of(build_feed(recipe, shown, data.source, runtime))
    return png(grid(to_pixels(images), columns=COLUMNS))


def report(
    recipe: GenerativeRecipe,
    trainer: GeneratorTrainer,
    *,
    data: Data,
    selection: Selection,
    directory: RunDirectory,
    clock: Stopwatch,
) -> str:
    """Judge the generator that was kept, write the report, and return the result in one line."""
    folder = directory.newest("best")
    if folder is None:
        expected, remedy = "one finite kernel distance", "look at grids/, lower train.lr, or raise train.steps"
        raise CheckpointError(fault("no generator was kept", got="none", expected=expected, remedy=remedy))
    runtime = trainer.runtime
    with clock("judgement"):
        generator = read_generator(folder).generator.to(runtime.device)
        distance = selection.judge(generator)
        pictures = {
            "generated": draw(generator, seed=recipe.seed),
            "real": draw_real(recipe, data, runtime),
            "walks": walks(generator, seed=recipe.seed),
            "across": across(generator, seed=recipe.seed),
        }
    written = GanReport(
        name=recipe.name,
        class_names=data.class_names,
        history=trainer.progress.history,
        kept_step=trainer.best.epoch or 0,
        distance=distance,
        **pictures,
        counts={"train": len(data.train), "val": len(data.val), "test": len(data.test)},
        identity=data.identity(),
        seconds={**clock.seconds, "training": trainer.progress.seconds},
        peak_memory_bytes=runtime.peak_memory_bytes(),
        environment=environment(runtime),
        recipe_source=config.dump(recipe),
        notes=(*data.carved, *data.notes),
    )
    page = written.write(directory.path)
    return f"{written.headline()}\n{page}"
