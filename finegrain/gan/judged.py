"""What a judgement of generated images reads: features of them and of real ones, by a classifier's frozen backbone."""

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from finegrain.data import splits
from finegrain.data.base import Data, Sample, Source
from finegrain.data.generated import Generated, mix, read_version, size_notes
from finegrain.errors import DataError, fault
from finegrain.features.cache import FeatureCache
from finegrain.features.extract import extract
from finegrain.features.inference import frozen_once
from finegrain.features.keys import weights_key
from finegrain.gan.version import none_kept
from finegrain.metrics.feature_sets import Extractor
from finegrain.models.classifier import Classifier
from finegrain.recipe import Recipe, build_model
from finegrain.runtime import Runtime
from finegrain.tuning.head import Head


@dataclass(frozen=True, kw_only=True, slots=True)
class Images:
    """Labelled images with what the backbone says of them."""

    samples: tuple[Sample, ...]
    """N of them; their labels are those of the real data."""
    source: Source
    """Reads their pixels."""
    features: NDArray[np.float32]
    """[N, D], one row a sample."""

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def labels(self) -> NDArray[np.int64]:
        """[N], indices into the real data's class names."""
        return np.array([sample.label for sample in self.samples], dtype=np.int64)

    def take(self, rows: NDArray[np.int64]) -> "Images":
        """Only these rows, in this order."""
        samples = tuple(self.samples[row] for row in rows.tolist())
        return Images(samples=samples, source=self.source, features=self.features[rows])


@dataclass(frozen=True, kw_only=True, slots=True)
class JudgedVersion:
    """One folder of generated images."""

    name: str
    images: Images
    generated: Generated
    """Where they come from."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """Real images of all splits and generated ones, seen by one network, which none of them changed."""

    data: Data
    """The real data, without a generated image."""
    model: Classifier
    """What saw them: `starting_model`."""
    extractor: Extractor
    train: Images
    val: Images
    test: Images
    versions: tuple[JudgedVersion, ...]
    """In the order of their paths."""

    def notes(self) -> tuple[str, ...]:
        """What a reader should know of the versions, one sentence each."""
        return tuple(note for version in self.versions for note in self._notes_on(version))

    def _notes_on(self, version: JudgedVersion) -> Iterator[str]:
        seen = version.generated.train_images or frozenset()
        and_filter = "" if version.generated.settings.get("filter") is None else " and the filter"
        if foreign := len(seen.difference(self.data.train_images())):
            yield (
                f"{foreign:,} of the {len(seen):,} images that the generator{and_filter} of {version.name} learned "
                "from are not in this train split: copies of those are not found."
            )
        if version.generated.settings.get("filter") is not None:
            yield (
                f"A classifier chose among the images of {version.name}: that others recognise them says less, what "
                "they teach says as much as ever."
            )
        if version.generated.filter_taught_by is not None:
            yield (
                f"The classifier that chose among the images of {version.name} itself learned from generated ones, "
                f"{version.generated.filter_taught_by}: what it takes for a class may be what a generator makes of it."
            )
        if emptied := version.generated.emptied:
            yield f"{version.name}: {none_kept(emptied, asked=len(version.generated.class_names))}"
        fake, real = (part.source.read(part.samples[0]) for part in (version.images, self.train))
        yield from size_notes(version.name, fake=fake, real=real)


def see(recipe: Recipe, paths: Sequence[Path], *, runtime: Runtime, cache: FeatureCache) -> Judged:
    """Read the real data of `recipe` and versions, and compute what its starting backbone says of every image.

    Every image is seen as the classifier sees it in evaluation, from 8 bits; real and generated ones alike.

    Args:
        recipe: Of a classifier; its tuning has no part in it, for the backbone is as its weights have it, nor have
            generated images that it mixes into train.
        paths: Folders that `main_gan.py --gen` wrote.
        runtime: Where and how to compute.
        cache: Keeps the features.

    Raises:
        FinegrainError: The data, the weights or a folder cannot be used, a generator was trained on images of val or
            test, or a version has classes that the data lacks.
    """
    section = dataclasses.replace(recipe.data, synthetic=None)
    table = section.table()
    found = {path: read_version(path, max_pixels=section.max_pixels) for path in paths}
    data = splits.build(section, table)
    # What is mixed into train has the data's labels, and a generator that knows images of val or test is refused.
    pools = [mix(data, generated, fraction=None, seed=0).train[len(data.train) :] for generated in found.values()]
    for generated, pool in zip(found.values(), pools, strict=True):
        if not pool:
            got, remedy = f"none of {sum(generated.asked)}", "generate more, or choose another generator or filter"
            raise DataError(
                fault(f"no image of {generated.path} was kept", got=got, expected="one or more", remedy=remedy)
            )
    model = starting_model(recipe, num_classes=len(table.class_names), runtime=runtime)
    exact = dataclasses.replace(runtime, compile="never")  # what pays is a matter of time: a rerun may differ
    build = frozen_once(model)

    def images(samples: tuple[Sample, ...], source: Source, name: str) -> Images:
        title = f"{name} features"
        rows = extract(samples, source=source, classifier=model, runtime=exact, cache=cache, build=build, title=title)
        return Images(samples=samples, source=source, features=rows.values.float().numpy())

    names = version_names(list(found))
    return Judged(
        data=data,
        model=model,
        extractor=extractor_of(model),
        train=images(data.train, data.source, "train"),
        val=images(data.val, data.source, "val"),
        test=images(data.test, data.source, "test"),
        versions=tuple(
            JudgedVersion(name=name, images=images(pool, generated.source, name), generated=generated)
            for name, pool, generated in zip(names, pools, found.values(), strict=True)
        ),
    )


def starting_model(recipe: Recipe, *, num_classes: int, runtime: Runtime) -> Classifier:
    """The recipe's network with its starting weights, all of it frozen but the head, which stands for nothing."""
    return build_model(dataclasses.replace(recipe, tuning=Head()), num_classes=num_classes, runtime=runtime)


def extractor_of(model: Classifier) -> Extractor:
    """Names the backbone by its architecture, the side of what it sees, and its weights."""
    name = f"{model.architecture} at {model.preprocessing.image_size} px"
    return Extractor(name=name, sha256=weights_key(model))


def version_names(paths: Sequence[Path]) -> list[str]:
    """What versions are called: their folders' names, or their paths where two folders have one name."""
    names = [path.resolve().name for path in paths]
    return names if len(set(names)) == len(names) else [str(path) for path in paths]


def together(*parts: Images) -> Images:
    """All images of several sets that one source reads."""
    return Images(
        samples=tuple(sample for part in parts for sample in part.samples),
        source=parts[0].source,
        features=np.concatenate([part.features for part in parts]),
    )
