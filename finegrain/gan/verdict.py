"""`main_gan.py --verdict`: do generated images help a classifier? At equal steps, against what could pass for help."""

import functools
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from finegrain import caching, config
from finegrain.data.base import Data, Sample
from finegrain.errors import ConfigError, DataError, fault
from finegrain.features.cache import FeatureCache
from finegrain.gan.arms import build_arms
from finegrain.gan.experiment import Experiment, Outcomes, Trainings, conduct
from finegrain.gan.judged import Judged, JudgedVersion, see
from finegrain.gan.learners import FineTuner, HeadLearner, Learner
from finegrain.gan.verdict_rows import arm_rows, class_rows
from finegrain.judgement import count_test_evaluation
from finegrain.metrics.benefit import Arm, benefit
from finegrain.recipe import FEATURES, Recipe, build_cache, identify
from finegrain.repeated.judges import RUNS, claim
from finegrain.report.verdict import NAMES, VerdictReport
from finegrain.runtime import Runtime, Stopwatch, device_faults, environment, seed_of
from finegrain.storage import RunDirectory

SETTINGS = "verdict_settings.json"
"""Says what the directory holds."""


def verdict(recipe: Recipe, experiment: Experiment, path: Path, *, directory: RunDirectory) -> str:
    """Train every arm, judge all on test, and write the report; return the result in one line and the page.

    Args:
        recipe: A classifier's, which says how it is trained: heads on features where these are always the same, as
            `crossval` does, else as `main.py train` does.
        experiment: Checked.
        path: The version.
        directory: Of the verdict; what is finished in it is not trained again.

    Raises:
        FinegrainError: The data, the version, or what the recipe asks for cannot be used.
    """
    if recipe.data.synthetic is not None:
        got, remedy = f"data.synthetic={recipe.data.synthetic}", "set data.synthetic=none, and name it after --verdict"
        expected = "a recipe of real images: the arms add the others"
        raise ConfigError(fault("the arm of real images has none", got=got, expected=expected, remedy=remedy))
    clock = Stopwatch()
    with directory, device_faults():
        runtime = recipe.runtime.build()
        cache = build_cache(recipe.runtime, run=directory.path)
        with clock("features"):
            judged = see(recipe, [path], runtime=runtime, cache=cache)
        (version,) = judged.versions
        _claim(recipe, experiment, judged, runtime=runtime, directory=directory)
        with clock("arms"):
            learner = build_learner(recipe, judged, directory=directory, runtime=runtime, cache=cache)
            looks: list[int] = []
            outcomes = conduct(
                experiment,
                Trainings(
                    learner=learner,
                    arms=functools.cache(functools.partial(_arms, judged)),  # all arms of a seed are made of one draw
                    seeds=range(recipe.seed, recipe.seed + experiment.seeds),
                ),
                open_test=lambda: looks.append(count_test_evaluation(directory)),
            )
        with clock("classes"):
            classes = class_rows(judged, outcomes, seed=seed_of(recipe.seed, "verdict") % 2**32)
        report = VerdictReport(
            name=recipe.name,
            version=str(path),
            benefit=benefit({arm: one.hits for arm, one in outcomes.arms.items()}, judged.test.labels),
            fraction=outcomes.fraction,
            candidates=outcomes.candidates,
            arms=arm_rows(judged, outcomes, steps=learner.steps),
            classes=classes,
            protocol=(*learner.words(), *_words(judged)),
            origin=_origin(judged, version),
            test_evaluations=looks[0],
            seconds=clock.seconds,
            environment=environment(runtime),
            recipe_source=config.dump(recipe),
            notes=(*judged.data.carved, *judged.data.notes, *judged.notes(), *_notes(recipe, learner, outcomes)),
        )
        page = report.write(directory.path)
        shutil.rmtree(directory.path / FEATURES, ignore_errors=True)
    return f"{report.headline()}\n{page}"


def build_learner(
    recipe: Recipe, judged: Judged, *, directory: RunDirectory, runtime: Runtime, cache: FeatureCache
) -> Learner:
    """Heads on the features there are, if the recipe trains a head on images that are never varied; else all it says.

    Raises:
        ConfigError: What the recipe does after a number of epochs would come after other steps in every arm.
        DataError: The version lacks a class, so that its images alone cannot train all of a classifier.
    """
    if caching.reads_the_same(recipe.tuning, recipe.augment):
        return HeadLearner(judged.data, features_by(judged), device=runtime.device)
    made = set(judged.versions[0].images.labels.tolist())
    if lacking := [name for label, name in enumerate(judged.data.class_names) if label not in made]:
        remedy = "generate all classes, or judge by a head: tuning=Head(), augment.preset=none"
        what, expected = "the version lacks classes", "one image of each, for the arm of generated images alone"
        raise DataError(
            fault(what, got=f"none of {lacking[0]} ({len(lacking)} in all)", expected=expected, remedy=remedy)
        )
    return FineTuner(recipe, judged.data, folder=directory.path / RUNS, runtime=runtime, cache=cache)


def features_by(judged: Judged) -> Callable[[Sequence[Sample]], Tensor]:
    """The features of any of the images, found by their paths."""
    everything = (judged.train, judged.val, judged.test, *(version.images for version in judged.versions))
    values = torch.from_numpy(np.concatenate([images.features for images in everything]))
    paths = [sample.path for images in everything for sample in images.samples]
    rows = {path: row for row, path in enumerate(paths)}
    return lambda samples: values[[rows[sample.path] for sample in samples]]


def _claim(
    recipe: Recipe, experiment: Experiment, judged: Judged, *, runtime: Runtime, directory: RunDirectory
) -> None:
    """Write down what the directory holds, or refuse one that holds another verdict; more seeds go on with fewer."""
    (version,) = judged.versions
    identity = {
        "seeds": experiment.seeds,
        "fractions": list(experiment.fractions),
        "version": version.generated.sha256,
        "network": judged.extractor.sha256,
        **identify(recipe, data=judged.data, model=judged.model, runtime=runtime),
    }
    claim(directory, SETTINGS, identity)


def _arms(judged: Judged, fraction: float, seed: int) -> Mapping[Arm, Data]:
    return build_arms(judged.data, judged.versions[0].generated, fraction=fraction, seed=seed)


def _words(judged: Judged) -> tuple[str, ...]:
    return (
        "Duplicates are real images of the classes of the generated ones, as many of each class; shuffled labels are "
        "those of the same generated images, dealt out anew.",
        "Differences are paired by seed and image; their intervals (Cochran & Cox 1957) are for other seeds and other "
        "test images, and say nothing of another train split or another generator.",
        "All three intervals that “helps” rests on must lie above 0, so none is widened for their number.",
        f"Recognised, diversity, near train and duplicates are by features of {judged.extractor.name}, the recipe's "
        "network with its starting weights; recognised by a linear head on them.",
    )


def _notes(recipe: Recipe, learner: Learner, outcomes: Outcomes) -> list[str]:
    """Where val chose the first or the last of what it may choose from, and which features tell little."""
    ends = {learner.strengths[0], learner.strengths[-1]} - {""}
    notes = [
        f"For {NAMES[arm]} val chose {one.strength}, at the end of what was tried: another might do better."
        for arm, one in outcomes.arms.items()
        if one.strength in ends
    ]
    random = "The network's starting weights are random: recognised, diversity, near train and duplicates say little."
    return notes + ([] if recipe.model.weights else [random])


def _origin(judged: Judged, version: JudgedVersion) -> dict[str, str]:
    settings = version.generated.settings
    return {
        "manifest": version.generated.sha256,
        "generator": str(settings.get("checkpoint", "unknown")),
        "generator's train split": str(settings.get("train_split", "unknown")),
        "network": judged.extractor.sha256,
        **judged.data.identity(),
    }
