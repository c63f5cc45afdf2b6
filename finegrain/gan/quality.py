"""`main_gan.py --quality`: what generated images are worth, by a classifier's features and on its real images."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from finegrain import config
from finegrain.errors import DataError, fault
from finegrain.gan.fidelity import Head, Labels, separate_trainings, shuffled, taught_by, train_head
from finegrain.gan.judged import Images, Judged, JudgedVersion, see, together
from finegrain.judgement import count_test_evaluation
from finegrain.metrics.by_class import KernelDistances, OfClass, diversities, kernel_distances
from finegrain.metrics.density_coverage import DensityCoverage, density_coverage
from finegrain.metrics.diversity import Diversity
from finegrain.metrics.memorisation import Memorisation, memorised
from finegrain.metrics.recognition import Taught, every_pair, recognition, recognitions
from finegrain.recipe import FEATURES, Recipe, build_cache
from finegrain.report.gallery import strip, thumbnail
from finegrain.report.quality import QualityReport
from finegrain.report.quality_record import Twin, VersionRecord
from finegrain.runtime import Stopwatch, device_faults, environment, seed_of
from finegrain.storage import RunDirectory

MOST_COMPARED = 3000
"""Images on each side of which every pair is compared; of more a part, with as large a share of each class."""
LEAST_HELD_OUT = 99
"""Images that a first percentile can be told from."""
LEAST_CLASSES = 2
SHOWN, COLUMNS, MOST_ROWS, STRIP_SIDE = 16, 12, 20, 64
"""Likely copies on the page; images in a row of the page, real ones and all versions' together; rows; their pixels."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Bench:
    """What every version is judged by."""

    judged: Judged
    counts: Labels
    """Images of each class that a version is judged by, as many as every version has [K]."""
    to_train: Labels
    """Of these, what a classifier is trained on: no more than real train has [K]."""
    held_out: Images
    """Val and test, of all classes: what no generator saw."""
    test: Images
    """Of the classes that are judged."""
    head: Head
    """Trained on real train images alone."""
    real_taught: Taught
    """What a classifier recognises of test that saw as many real images as each saw generated ones."""
    seed: int


def quality(recipe: Recipe, paths: Sequence[Path], *, directory: RunDirectory) -> str:
    """Judge the versions at `paths` and write the report; return the result in a few lines.

    Args:
        recipe: A classifier's: its data are the real images, its starting backbone the extractor.
        paths: Folders that `main_gan.py --gen` wrote; several are ranked.
        directory: Where the report goes.

    Raises:
        FinegrainError: As `judged.see`, or there are too few images.
    """
    clock = Stopwatch()
    with directory, device_faults():
        runtime = recipe.runtime.build()
        with clock("features"):
            judged = see(recipe, paths, runtime=runtime, cache=build_cache(recipe.runtime, run=directory.path))
        with clock("judgement"):
            bench = prepare(judged, seed=seed_of(recipe.seed, "quality") % 2**32)
            looks = count_test_evaluation(directory)  # before the versions are judged on it
            bar = tqdm(judged.versions, desc="judging", unit="version", leave=False, disable=None)
            versions = [assess(version, bench) for version in bar]
        report = QualityReport(
            name=recipe.name,
            **findings(bench, versions),
            test_evaluations=looks,
            seconds=clock.seconds,
            environment=environment(runtime),
            recipe_source=config.dump(recipe),
        )
        page = report.write(directory.path)
        shutil.rmtree(directory.path / FEATURES, ignore_errors=True)
    return f"{report.headline()}\n{page}"


def findings(bench: Bench, versions: Sequence[VersionRecord]) -> dict[str, Any]:
    """What a `QualityRecord` says of versions and of what they were judged by: the one that teaches most first."""
    ranked = sorted(versions, key=lambda version: -version.taught.accuracy)
    judged, hits = bench.judged, bench.head.hits(bench.test)
    return {
        "class_names": judged.data.class_names,
        "judged": np.flatnonzero(bench.counts).tolist(),
        "versions": tuple(ranked),
        "compared": every_pair([version.taught for version in ranked]),
        "extractor": judged.extractor,
        "features": judged.train.features.shape[1],
        "real": recognition(hits),
        "real_by_class": recognitions(hits, bench.test.labels, len(bench.counts)),
        "real_taught": bench.real_taught,
        "strips": strips(judged.train, bench),
        "counts": {name: len(getattr(judged, name)) for name in ("train", "val", "test")},
        "identity": judged.data.identity(),
        "notes": (*judged.data.carved, *judged.data.notes, *judged.notes()),
    }


def prepare(judged: Judged, *, seed: int) -> Bench:
    """Train the classifier that recognises, and settle how many images of each class are judged.

    Raises:
        DataError: The versions have fewer than two classes in common, or there is no test image of them.
    """
    num_classes = len(judged.data.class_names)
    counts = np.min([np.bincount(v.images.labels, minlength=num_classes) for v in judged.versions], axis=0)
    test = judged.test.take(np.flatnonzero(counts[judged.test.labels]))
    if np.count_nonzero(counts) < LEAST_CLASSES or not len(test):
        got = f"{np.count_nonzero(counts)} classes in every version, {len(test)} test images of them"
        expected, remedy = f"at least {LEAST_CLASSES}, and one or more", "generate more classes"
        raise DataError(fault("too few classes to judge", got=got, expected=expected, remedy=remedy))
    to_train = np.minimum(counts, judged.data.class_counts())
    as_many = separate_trainings(judged.train, to_train, seed=seed)[:1]
    return Bench(
        judged=judged,
        counts=counts,
        to_train=to_train,
        held_out=together(judged.val, judged.test),
        test=test,
        head=train_head(judged.train, judged.val),
        real_taught=taught_by(as_many, val=judged.val, test=test),
        seed=seed,
    )


def assess(version: JudgedVersion, bench: Bench) -> VersionRecord:
    """All that is found out about one version."""
    judged, k, seed = bench.judged, len(bench.counts), bench.seed
    images = version.images.take(some_of_each(version.images.labels, bench.counts, seed))
    distances, places, spread = compare_sets(images, bench)
    hits = bench.head.hits(images)
    trainings = separate_trainings(images, bench.to_train, seed=seed)
    taught = taught_by(trainings, val=judged.val, test=bench.test)
    memorisation, unmeasured = find_copies(images, train=judged.train, held_out=bench.held_out)
    return VersionRecord(
        name=version.name,
        sha256=version.generated.sha256,
        given=len(version.images),
        n=len(images),
        counts=bench.counts.tolist(),
        distances=distances,
        places=places,
        diversities=spread,
        shown=recognition(hits),
        shown_by_class=recognitions(hits, images.labels, k),
        taught=taught,
        against_real=taught.minus(bench.real_taught),
        memorisation=memorisation,
        unmeasured=unmeasured,
        twins=twins(images, judged.train, memorisation) if memorisation else (),
        strips=strips(images, bench),
    )


def compare_sets(
    images: Images, bench: Bench
) -> tuple[KernelDistances, DensityCoverage, tuple[OfClass[Diversity], ...]]:
    """Kernel distances, density and coverage, diversities: as many generated as held-out images of each class.

    So neither the number nor the shares of the classes make a difference.
    """
    real = bench.held_out
    both = np.minimum(bench.counts, np.bincount(real.labels, minlength=len(bench.counts)))
    both = both * min(MOST_COMPARED, both.sum()) // max(both.sum(), 1)
    x, y = (part.take(some_of_each(part.labels, both, bench.seed)) for part in (real, images))
    labels = x.labels, y.labels
    # Holm's smallest p of K classes is K/(1 + permutations): it must be able to fall below 0.05.
    permutations = max(999, 40 * len(np.flatnonzero(both)) - 1)
    return (
        kernel_distances(
            x.features,
            y.features,
            *labels,
            extractor=bench.judged.extractor,
            seed=bench.seed,
            permutations=permutations,
        ),
        density_coverage(x.features, y.features),
        diversities(x.features, y.features, *labels, seed=bench.seed),
    )


def find_copies(images: Images, *, train: Images, held_out: Images) -> tuple[Memorisation | None, str]:
    """Which images are copies, by the distances of held-out images to train; or none of it, and why."""
    if len(held_out) < LEAST_HELD_OUT:
        return None, f"{len(held_out)} held-out images cannot tell copies: at least {LEAST_HELD_OUT} are needed"
    try:
        return memorised(images.features, train.features, held_out.features, labels=images.labels), ""
    except DataError as error:  # held-out images that train has, too: no reason to lose all else that was found
        return None, str(error)


def twins(images: Images, train: Images, found: Memorisation) -> list[Twin]:
    """The generated images nearest to train, beside what they are near to."""
    nearest = np.argsort(found.distance, kind="stable")[:SHOWN]
    pairs = [(images.samples[row], train.samples[found.nearest_train[row]]) for row in nearest]
    return [
        Twin(
            image=thumbnail(images.source.read(image)),
            train=thumbnail(train.source.read(real)),
            label=image.label,
            path=image.path,
            train_path=real.path,
            ratio=float(found.distance[row] / found.threshold),
        )
        for row, (image, real) in zip(nearest, pairs, strict=True)
    ]


def strips(images: Images, bench: Bench) -> dict[int, bytes]:
    """Some images of each of the first classes, in an order of chance."""
    labels = np.flatnonzero(bench.counts)[:MOST_ROWS].tolist()
    columns = max(2, COLUMNS // (1 + len(bench.judged.versions)))
    rows = {label: shuffled(images.labels, label, bench.seed)[:columns] for label in labels}
    return {
        label: strip([images.source.read(images.samples[row]) for row in own], side=STRIP_SIDE)
        for label, own in rows.items()
    }


def some_of_each(labels: Labels, counts: Labels, seed: int) -> Labels:
    """Rows of so many images of each class, [K] counts, by chance."""
    return np.concatenate([shuffled(labels, label, seed)[:count] for label, count in enumerate(counts)])
