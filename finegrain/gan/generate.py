"""`main_gan.py --gen`: labelled images of a trained generator, each of which its row of the manifest makes again."""

import difflib
import hashlib
import logging
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from finegrain.config import Count, CountOrZero, Fraction, Positive
from finegrain.data.folder import class_folder
from finegrain.data.generated import listed
from finegrain.engine.interrupt import Interrupt, Interrupted
from finegrain.errors import CheckpointError, ConfigError, OutputError, fault, fault_list
from finegrain.gan.filtering import Filter, open_filter
from finegrain.gan.generator_folder import TrainedGenerator, find_generator, read_generator
from finegrain.gan.networks.sampler import SAMPLES_AT_ONCE
from finegrain.gan.pictures import png, to_pixels
from finegrain.gan.version import Made, Place, Version, open_version
from finegrain.runtime import Runtime, RuntimeConfig, device_faults, seed_of
from finegrain.storage import locate

FORMAT = 2
"""Raised whenever the same settings come to stand for other images."""
PER_CLASS = 100
"""Where no number is asked for."""
BUNDLED = "ckpt/pretrained/birds_gan"
"""The generator that comes with the project."""
_METRICS = "metrics.json"

logger = logging.getLogger(__name__)


@dataclass(kw_only=True, slots=True)
class Order:
    """Which images are asked for."""

    per_class: Count | None = None
    """Images of each class; none, where `fill_to` is none as well: 100."""
    fill_to: Count | None = None
    """Train images and generated ones of each class together; a class that has as many gets none."""
    classes: tuple[str, ...] = ()
    """Names; none: all classes."""
    truncation: Positive | None = None
    """Largest absolute value of the noise; none: it has no bound."""
    filter: str | None = None
    """A classifier of the same classes, which refuses images that do not show the class asked for: the directory of its
    run, or a model folder; none: all are kept."""
    filter_threshold: Fraction | None = None
    """Least probability of the class asked for; none: it must be the most probable."""
    seed: CountOrZero = 0
    """Of all noise; each image has a seed that is a function of this one, its class and its number."""
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)

    def faults(self) -> list[str]:
        """One number is enough, and images are always computed in fp32."""
        faults = []
        if self.per_class is not None and self.fill_to is not None:
            got = f"--per-class {self.per_class} and --fill-to {self.fill_to}"
            faults.append(fault("two numbers of images", got=got, expected="one", remedy="leave one out"))
        if self.filter is None and self.filter_threshold is not None:
            expected, remedy = "--filter as well", "add it, or leave the threshold out"
            what, threshold = "a threshold of no filter", self.filter_threshold
            faults.append(fault(what, got=threshold, expected=expected, remedy=remedy))
        default = {field.name: field.default for field in fields(RuntimeConfig)}
        return faults + [
            fault(f"runtime.{key} has no effect", got=value, expected=f"{default[key]}", remedy="leave it out")
            for key in default.keys() - {"device", "threads", "deterministic"}
            if (value := getattr(self.runtime, key)) != default[key]
        ]


def generate(order: Order, *, run: Path, out: Path | None, dry_run: bool) -> str:
    """Write a version, or what is missing of it; return what to print.

    Args:
        order: Checked.
        run: A directory that `find_generator` knows.
        out: The version's folder; none: a new one below gen/.
        dry_run: Only say what would be done.

    Raises:
        FinegrainError: The run, the order or the folder is at fault, or the disk is full.
    """
    folder = find_generator(run)
    trained = read_generator(folder)
    numbers = _numbers(order, trained)
    places = _places(order, trained, numbers)
    path = out or Path("gen") / f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
    if dry_run:
        counts = "\n".join(f"  {trained.class_names[label]}: {number}" for label, number in numbers.items())
        return f"{len(places)} images of {trained.image_size} pixels by {folder}, into {path}:\n{counts}"
    with device_faults(room="generate with runtime.device=cpu"):
        runtime = order.runtime.build()
        trained.generator.to(runtime.device)
        chosen = _open_filter(order, trained, runtime)
        seen, origin = _seen(trained, chosen), _origin(order, trained)
        settings = _settings(order, trained, run=run, places=places, device=runtime.device)
        settings |= {"filter": chosen and chosen.settings, "train_images": seen and hashlib.sha256(seen).hexdigest()}
        with open_version(path, settings=settings, places=places, origin=origin, train_images=seen) as version:
            _fill(version, trained, truncation=order.truncation, chosen=chosen)
    said = version.summary()
    if chosen is not None and chosen.train_images is None:
        said.append(f"Which images {order.filter} was trained on is not known: no val or test may be among them.")
    if chosen is not None and (taught_by := chosen.settings.get("taught_by")):
        said.append(
            f"The filter {order.filter} itself learned from generated images, {taught_by}: what it takes for a class "
            "may be what a generator makes of it."
        )
    if folder != run and not (run / _METRICS).exists():
        said.append(f"The training of {run} is not finished: this is the best generator so far.")
    return "\n".join([*said, str(path)])


def newest_run(name: str | None) -> Path:
    """The newest finished training of a GAN under ckpt/, of that name if one is given; without any, the bundled one.

    Raises:
        CheckpointError: There is none.
    """
    reports = Path("ckpt").glob(f"{name or '*'}/[0-9]*/{_METRICS}")
    runs = [file.parent for file in reports if any(file.parent.glob("checkpoints/best-*/generator.json"))]
    if not runs and name is None and (bundled := locate(BUNDLED)).is_dir():
        logger.info("Nothing was trained here yet: this is the bundled generator of drawn birds, %s", bundled)
        return bundled
    if not runs:
        what, got = "no trained generator", f"no finished training of a GAN in ckpt/{name or ''}"
        remedy = "train one: python main_gan.py --config configs/gan.py; or name the --out of one after --gen"
        raise CheckpointError(fault(what, got=got, expected="one", remedy=remedy))
    return max(runs, key=lambda run: run.name)


def _open_filter(order: Order, trained: TrainedGenerator, runtime: Runtime) -> Filter | None:
    """The filter that is asked for."""
    if order.filter is None:
        return None
    path, threshold = locate(order.filter), order.filter_threshold
    return open_filter(path, class_names=trained.class_names, threshold=threshold, runtime=runtime)


def _seen(trained: TrainedGenerator, chosen: Filter | None) -> bytes | None:
    """The list of all images that the generator was trained on, and the filter as far as is known."""
    if trained.train_images is None or chosen is None or chosen.train_images is None:
        return trained.train_images
    return listed(chosen.train_images.union(trained.train_images.decode("ascii").split()))


def _fill(version: Version, trained: TrainedGenerator, *, truncation: float | None, chosen: Filter | None) -> None:
    """Make what is missing."""
    bar = tqdm(total=len(version.missing), desc="generating", unit="image", leave=False, disable=None)
    remedy = f"what is written stays; the same command with --out {version.path} goes on"
    with Interrupt() as interrupt, bar:
        for start in range(0, len(version.missing), SAMPLES_AT_ONCE):
            places = version.missing[start : start + SAMPLES_AT_ONCE]
            for place, image in zip(places, _look(trained, places, truncation=truncation, chosen=chosen), strict=True):
                try:
                    version.add(place, image)
                except OutputError as error:
                    done = f"{len(version.rows)} of {len(version.places)} are done"
                    raise OutputError(f"{error}\n{done}: {remedy}") from error
                bar.update()
                if interrupt.signal is not None:
                    where = f"image {len(version.rows)} of {len(version.places)}"
                    raise Interrupted(interrupt.signal, where=where, remedy=remedy)


def make(trained: TrainedGenerator, places: Sequence[Place], *, truncation: float | None) -> list[bytes | None]:
    """Images as PNG files, each a function of its label and seed alone; None where a pixel is not finite.

    Kernels round differently for batches of another size, which changes pixels: `Sampler.sample` fills up each batch
    to the same number, and what else is in it changes nothing.
    """
    return _files(_sample(trained, places, truncation))


def _sample(trained: TrainedGenerator, places: Sequence[Place], truncation: float | None) -> Tensor:
    labels, seeds = [place.label for place in places], [place.seed for place in places]
    return trained.generator.sample(labels, seeds, truncation=truncation)


def _files(images: Tensor) -> list[bytes | None]:
    finite = images.isfinite().flatten(1).all(dim=1).tolist()
    return [png(pixels) if sound else None for pixels, sound in zip(to_pixels(images), finite, strict=True)]


def _look(
    trained: TrainedGenerator, places: Sequence[Place], *, truncation: float | None, chosen: Filter | None
) -> list[Made]:
    """Make images, and find out what their rows say of them."""
    images, labels = _sample(trained, places, truncation), [place.label for place in places]
    files, unknown = _files(images), [None] * len(places)
    judged = chosen(images.nan_to_num(), labels) if chosen is not None else [(None, None)] * len(places)
    nearest = trained.thumbnails.nearest(images.nan_to_num(), labels) if trained.thumbnails is not None else unknown
    return [
        Made(content=content, filter_score=score, refused=refused, nearest_train=distance)
        if content is not None
        else Made(content=None)
        for content, (score, refused), distance in zip(files, judged, nearest, strict=True)
    ]


def _numbers(order: Order, trained: TrainedGenerator) -> dict[int, int]:
    """How many images of which label, in the order of labels, without those of which none is asked for."""
    labels = _labels(order.classes, trained.class_names)
    if order.fill_to is None:
        return dict.fromkeys(labels, order.per_class or PER_CLASS)
    numbers = {label: order.fill_to - trained.class_counts[label] for label in labels}
    if max(numbers.values()) <= 0:
        fewest = min(trained.class_counts[label] for label in labels)
        expected, remedy = f"more than {fewest}, of which every class has train images", "raise --fill-to"
        raise ConfigError(fault("nothing to fill", got=order.fill_to, expected=expected, remedy=remedy))
    return {label: number for label, number in numbers.items() if number > 0}


def _labels(classes: Sequence[str], known: Sequence[str]) -> list[int]:
    """The labels of classes that were typed, each for itself or several with commas between; of none: all."""
    chosen: set[str] = set()
    for word in classes:
        chosen |= {word} if word in known else {part.strip() for part in word.split(",")} - {""}
    faults, expected = [], f"one of the generator's {len(known)} classes"
    for name in sorted(chosen - set(known)):
        near = difflib.get_close_matches(name, known, n=1)
        remedy = f"did you mean {near[0]}?" if near else f"the first are {', '.join(known[:10])}"
        faults.append(fault("no such class", got=name, expected=expected, remedy=remedy))
    if faults:
        raise ConfigError(fault_list("--classes has faults", faults))
    return [label for label, name in enumerate(known) if not classes or name in chosen]


def _places(order: Order, trained: TrainedGenerator, numbers: Mapping[int, int]) -> list[Place]:
    """Every image that is asked for, class by class: the first are the same whatever the number."""
    return [
        Place(
            label=label,
            class_name=(name := trained.class_names[label]),
            path=f"{class_folder(name)}/{index:05d}.png",
            seed=seed_of(order.seed, "image", name, index),
        )
        for label, number in numbers.items()
        for index in range(number)
    ]


def _origin(order: Order, trained: TrainedGenerator) -> dict[str, Any]:
    """What each row says of where its image comes from."""
    return {
        "truncation": order.truncation,
        "checkpoint": trained.sha256,
        "config": hashlib.sha256(trained.recipe.encode()).hexdigest(),
        "train_split": trained.data["train split"],
    }


def _settings(
    order: Order, trained: TrainedGenerator, *, run: Path, places: Sequence[Place], device: torch.device
) -> dict[str, Any]:
    """All that the images of a version depend on: with other settings it is not gone on with."""
    return {
        "format": FORMAT,
        "run": run.resolve().name,
        "per_class": (order.per_class or PER_CLASS) if order.fill_to is None else None,
        "fill_to": order.fill_to,
        "classes": list(dict.fromkeys(place.class_name for place in places)),
        "images": len(places),
        "seed": order.seed,
        **_origin(order, trained),
        **{key.replace(" ", "_"): value for key, value in trained.data.items() if key.startswith("train")},
        "image_size": trained.image_size,
        "device": device.type,
        "torch": torch.__version__,
    }
