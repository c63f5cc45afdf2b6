"""The command `tune`: search the best values of a few fields on part of train, then train once on all of it."""

import dataclasses
import json
import logging
import shutil
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import distribution_to_json

from finegrain import config
from finegrain.data import splits
from finegrain.data.base import Data
from finegrain.data.generated import refuse
from finegrain.engine.checkpoint import read_course
from finegrain.errors import ConfigError, DeviceError, InUseError, NumericsError
from finegrain.features.cache import FeatureCache
from finegrain.recipe import FEATURES, Recipe, build_cache, build_model, fit, identify, run
from finegrain.report.search import SearchReport
from finegrain.runtime import Runtime, Stopwatch, device_faults, environment
from finegrain.search.budget import Search, divide, full_recipe, in_words, spared_epochs, trial_recipe
from finegrain.search.findings import as_trial, as_varied, best_trial, importances, read_test
from finegrain.search.ranges import Space, as_words, own_values, read_space, varied
from finegrain.search.study import Study, each_epoch
from finegrain.storage import RunDirectory

logger = logging.getLogger(__name__)


def tune(recipe: Recipe, search: Search, path: Path) -> str:
    """Carry out the trials that are left, then the run with the best setting; return what to print.

    Any number of processes, on any machines that share the folder `path`, may do so at once.

    Raises:
        CheckpointError: The folder holds another search, or a damaged one.
        ConfigError: A range is wrong, the recipe mixes generated images into train, or no trial could be finished.
    """
    refuse(recipe.data, command="tune")
    short = trial_recipe(recipe, search)
    config.check(short)
    space = read_space(short, search.ranges)
    with device_faults():
        runtime = recipe.runtime.build()
        table = recipe.data.table()
        model = build_model(recipe, num_classes=len(table.class_names), runtime=runtime)
        data = divide(splits.build(recipe.data, table), recipe, fraction=search.fraction)
        identity = {"searched": {key: json.loads(distribution_to_json(of)) for key, of in space.items()}}
        study = Study(
            path,
            space=space,
            identity=identity | identify(short, data=data, model=model, runtime=runtime),
            config=config.dump(recipe),
            first=own_values(short, space),
            seed=recipe.seed,
            maximize=recipe.train.metric != "loss",
            spared_epochs=spared_epochs(short),
        )
        del model
        cache = build_cache(recipe.runtime, run=path)
        for trial, directory in study.trials(search.trials):
            facts = study.found(trial.params)
            if facts is None:
                facts = _carry_out(short, trial, data=data, directory=directory, runtime=runtime, cache=cache)
            study.tell(trial, facts)
            words = " ".join(as_words(trial.params))
            logger.info("trial %d, %s: %s", trial.number, words, facts["stopped"] or f"{facts['figure']:.4f}")
    return _conclude(recipe, search, study, space=space, data=data, runtime=runtime)


def _carry_out(
    recipe: Recipe, trial: optuna.Trial, *, data: Data, directory: RunDirectory, runtime: Runtime, cache: FeatureCache
) -> dict[str, Any]:
    """Train with the trial's values, or go on with it; what it came to.

    A setting that cannot be trained is a bad one, not the end of the search.
    """
    column = f"eval_{recipe.train.metric}"
    on_epoch = each_epoch(trial, column)
    chosen, stopped = varied(recipe, trial.params), ""
    try:
        config.check(chosen)
        with device_faults():
            for row in read_course(directory).history if directory.begun else ():
                on_epoch(row)
            model = build_model(chosen, num_classes=len(data.class_names), runtime=runtime)
            fit(
                chosen,
                model,
                data=data,
                directory=directory,
                runtime=runtime,
                cache=cache,
                clock=Stopwatch(),
                on_epoch=on_epoch,
            )
    except optuna.TrialPruned:
        stopped = "below the median of the trials before it"
    except (ConfigError, DeviceError, NumericsError) as error:
        stopped = str(error)
    facts = _facts(directory, column)
    # A stop before this line finds the checkpoints, one after it the same trial to be trained again.
    shutil.rmtree(directory.path / "checkpoints", ignore_errors=True)
    return {"stopped": stopped or ("" if "figure" in facts else "no epoch gave a finite figure")} | facts


def _facts(directory: RunDirectory, column: str) -> dict[str, Any]:
    """What the checkpoints of a trial tell of it."""
    if not directory.begun:
        return {"epochs": 0, "seconds": 0.0}
    course = read_course(directory)
    facts: dict[str, Any] = {"epochs": len(course.history), "seconds": course.seconds}
    if course.kept_epoch is not None:
        best = course.history[course.kept_epoch]
        facts |= {"kept_epoch": course.kept_epoch, "figure": best[column], "loss": best["eval_loss"]}
    return facts


def _conclude(recipe: Recipe, search: Search, study: Study, *, space: Space, data: Data, runtime: Runtime) -> str:
    """Run the best setting on all of train; write the report before, and again with what came of it."""
    trials = study.known()
    running = [str(trial.number) for trial in trials if not trial.state.is_finished()]
    if running:
        return f"{recipe.name}: other processes still carry out trial {', '.join(running)}; the last one goes on"
    best = as_trial(best_trial(trials, maximize=recipe.train.metric != "loss"))
    full, setting = full_recipe(recipe, search, best)
    report = SearchReport(
        name=recipe.name,
        monitor=recipe.train.metric,
        varied=[as_varied(key, allowed) for key, allowed in space.items()],
        trials=[as_trial(trial) for trial in trials],
        best=best,
        setting=setting,
        protocol=in_words(recipe, search, data, full=full),
        importances=importances(study.study, trials),
        test=None,
        recipe_source=config.dump(recipe),
        environment=environment(runtime) | {"optuna": optuna.__version__},
    )
    page = report.write(study.folder)
    folder = study.folder / f"best-{best.number}"
    try:
        result = run(full, directory=RunDirectory(folder, resume=True))
    except InUseError:
        return f"{recipe.name}: another process trains with the best setting\n{page}"
    dataclasses.replace(report, test=read_test(folder)).write(study.folder)
    shutil.rmtree(study.folder / FEATURES, ignore_errors=True)
    return f"the best of {len(trials)} trials: {' '.join(report.setting)}\n{result}\n{page}"
