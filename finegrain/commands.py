"""The commands of the command line: what is to be done with a recipe, and in which run directory."""

import dataclasses
import logging
import math
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finegrain import config as configs
from finegrain.ensembles.ensemble import ENSEMBLE, Ensemble, ensemble
from finegrain.errors import ConfigError, OutputError, fault
from finegrain.explain import Request, explain
from finegrain.metrics.confidence import Promises
from finegrain.models.summary import summary
from finegrain.predict import Query, predict
from finegrain.recipe import Recipe, evaluate, run
from finegrain.repeated.compare import compare
from finegrain.repeated.crossval import EVALUATION, Protocol, crossval
from finegrain.repeated.learning_curve import CURVE, Sampling, learning_curve
from finegrain.report.comparison import PAGE
from finegrain.search.budget import Search
from finegrain.search.lr_range import Sweep, lr_range
from finegrain.search.ranges import in_words, is_range, read_space
from finegrain.search.tune import tune
from finegrain.storage import RunDirectory, run_directory
from finegrain.survey import Survey, survey

logger = logging.getLogger(__name__)

RANDOM_SEED = "seed=random"
"""Stands for a seed that is drawn, said, and written down as if it had been given: it repeats the run."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Command:
    """What the first word of a command line stands for."""

    do: Callable[[Recipe, Any, Path, bool], str]
    """Is given the recipe, the command's own settings, the run directory, and whether to resume."""
    settings: Callable[[], Any] = lambda: None
    """Its own KEY=VALUE beside the recipe's: makes a dataclass of defaults; None where it has none."""
    ranges: bool = False
    """Whether KEY=LOW..HIGH and KEY=A,B are for the `ranges` of its settings."""
    members: bool = False
    """Whether words without = are for the `members` of its settings."""
    of_run: bool = False
    """Whether it is about a training run that there is: the one in --out, or the newest."""


def _train(recipe: Recipe, promises: Promises, path: Path, resume: bool) -> str:
    return run(recipe, directory=RunDirectory(path, resume=resume), promises=promises)


def _evaluate(recipe: Recipe, promises: Promises, path: Path, _: bool) -> str:
    return evaluate(recipe, directory=RunDirectory(path, resume=True), promises=promises)


def _explain(recipe: Recipe, request: Request, path: Path, _: bool) -> str:
    return explain(recipe, request, directory=RunDirectory(path, resume=True))


def _features(recipe: Recipe, judged: Survey, path: Path, resume: bool) -> str:
    return survey(recipe, judged, directory=RunDirectory(path, resume=resume))


def _crossval(recipe: Recipe, protocol: Protocol, path: Path, _: bool) -> str:
    return crossval(recipe, protocol, directory=RunDirectory(path, resume=(path / EVALUATION).exists()))


def _ensemble(recipe: Recipe, settings: Ensemble, path: Path, _: bool) -> str:
    return ensemble(recipe, settings, directory=RunDirectory(path, resume=(path / ENSEMBLE).exists()))


def _learning_curve(recipe: Recipe, sampling: Sampling, path: Path, _: bool) -> str:
    return learning_curve(recipe, sampling, directory=RunDirectory(path, resume=(path / CURVE).exists()))


def _tune(recipe: Recipe, search: Search, path: Path, _: bool) -> str:
    return tune(recipe, search, path)


def _lr_range(recipe: Recipe, sweep: Sweep, path: Path, resume: bool) -> str:
    return lr_range(recipe, sweep, directory=RunDirectory(path, resume=resume))


COMMANDS = {
    "train": Command(do=_train, settings=Promises),
    "evaluate": Command(do=_evaluate, settings=Promises, of_run=True),
    "explain": Command(do=_explain, settings=Request, of_run=True),
    "features": Command(do=_features, settings=Survey),
    "crossval": Command(do=_crossval, settings=Protocol),
    "ensemble": Command(do=_ensemble, settings=Ensemble, members=True),
    "learning-curve": Command(do=_learning_curve, settings=Sampling),
    "tune": Command(do=_tune, settings=Search, ranges=True),
    "lr-range": Command(do=_lr_range, settings=Sweep),
}


def answer(words: Sequence[str], *, config: str | None, explain: bool = False, **options: Any) -> str:
    """Do what a command line says; return what to print.

    Args:
        words: A command, which may be left out, then KEY=VALUE; `compare` and `predict` take directories as well.
        config: The file that gives the recipe; `compare` and `predict` need none.
        explain: Whether `predict` shows what the model looks at, too; of no other command.
        options: As for `carry_out`.

    Raises:
        FinegrainError: The user's input is at fault.
    """
    if explain and words[:1] != ["predict"]:
        expected, remedy = "predict DIR images=PATH --explain", "leave it out; the command explain is of a run's images"
        raise ConfigError(fault("--explain is of predict alone", got=" ".join(words), expected=expected, remedy=remedy))
    if words[:1] == ["compare"]:
        return _compare([Path(word) for word in words[1:]], **options)
    if words[:1] == ["predict"]:
        run = options.pop("out", None)
        _refuse_options("predict takes no such options", {"config": config} | options, expected="--out and KEY=VALUE")
        return predict(_query(words[1:], run, explain=explain))
    if config is None:
        expected, remedy = "a Python file with config() -> Recipe", "name one of configs/"
        raise ConfigError(fault("--config is missing", got="none", expected=expected, remedy=remedy))
    return carry_out(configs.load(config), words, **options)


def _compare(paths: Sequence[Path], *, out: Path | None = None, **others: Any) -> str:
    _refuse_options("compare takes no options but --out", others, expected="directories, and perhaps --out")
    path = out or run_directory("compare", "", newest=False)
    return compare(paths, directory=RunDirectory(path, resume=(path / PAGE).exists()))


def carry_out(
    recipe: Recipe,
    words: Sequence[str],
    *,
    out: Path | None = None,
    cache: str | None = None,
    resume: bool = False,
    dry_run: bool = False,
) -> str:
    """Override, check, and run a command; return what to print.

    Args:
        recipe: As its config file gave it; changed by the overrides.
        words: A command, which may be left out, then KEY=VALUE.
        out: The run directory itself; none: under ckpt/<name>/, a new one, or the newest when `resume`.
        cache: Sets `runtime.cache`.
        resume: Go on with a run that was begun.
        dry_run: Only say what would be done.

    Raises:
        FinegrainError: The user's input is at fault.
    """
    if not isinstance(recipe, Recipe):
        raise ConfigError(
            fault(
                "config() returned no Recipe",
                got=type(recipe).__name__,
                expected="a Recipe",
                remedy="return Recipe(...)",
            )
        )
    name, *changes = words if words and "=" not in words[0] else ["train", *words]
    if name not in COMMANDS:
        expected = f"one of {', '.join(COMMANDS)}"
        raise ConfigError(fault("no such command", got=name, expected=expected, remedy="see --help"))
    command = COMMANDS[name]
    changes = [_drawn_seed() if word == RANDOM_SEED else word for word in changes]
    settings = command.settings()
    if command.members:
        settings.members += tuple(word for word in changes if "=" not in word)
        changes = [word for word in changes if "=" in word]
    own = {field.name for field in dataclasses.fields(settings)} if settings else set()
    configs.override(settings, [word for word in changes if word.partition("=")[0] in own])
    changes = [word for word in changes if word.partition("=")[0] not in own]
    if command.ranges:
        settings.ranges += tuple(word for word in changes if is_range(recipe, word))
        changes = [word for word in changes if word not in settings.ranges]
    configs.override(recipe, changes, others=sorted(own - {"members", "ranges"}))
    recipe.runtime.cache = cache or recipe.runtime.cache
    configs.check(recipe)
    if settings:
        configs.check(settings)
    space = read_space(recipe, settings.ranges) if command.ranges else {}
    if dry_run:
        return "\n".join([plan(recipe), *(f"{key}: {in_words(allowed)}" for key, allowed in space.items())])
    kind = "" if name == "train" or command.of_run else f"{name}-"
    path = out or run_directory(recipe.name, kind, newest=resume or command.of_run)
    if command.of_run and not path.is_dir():
        raise OutputError(fault(f"no run to {name}", got=str(path), expected="a run directory", remedy="set --out"))
    if resume and not path.exists():
        logger.info("%s holds nothing to resume: a new run begins", path)
    return command.do(recipe, settings, path, resume)


def _drawn_seed() -> str:
    word = f"seed={secrets.randbelow(2**31)}"
    logger.info("%s was drawn: with it in place of %s the run can be repeated, and gone on with", word, RANDOM_SEED)
    return word


def plan(recipe: Recipe) -> str:
    """What a run would do, without reading data: the resolved recipe, the model, the steps."""
    facts = recipe.data.sizes()
    num_classes = facts.num_classes if facts else 2
    model = recipe.model.build(num_classes=num_classes, train_size=recipe.augment.image_size)
    recipe.tuning.apply(model)
    lines = [configs.dump(recipe), summary(model, recipe.train.batch_size), f"{model.architecture}: {model.census()}"]
    if recipe.data.synthetic is not None:
        lines.append(f"Generated images of {recipe.data.synthetic} are mixed into train: not counted here.")
    if facts is None:
        lines.append("The number of classes is known once the data is read; the head above has 2.")
    else:
        images = facts.train if facts.val else round(facts.train * (1 - recipe.data.val_fraction))
        steps = -(-images // (recipe.train.batch_size * recipe.train.accumulate_steps))
        in_all = min(steps * recipe.train.epochs, recipe.train.max_steps or math.inf)
        lines.append(f"{images:,} train images: {steps:,} an epoch, {in_all:,} steps in all")
    return "\n".join(lines)


def _refuse_options(what: str, options: Mapping[str, Any], *, expected: str) -> None:
    given = ", ".join(name for name, value in options.items() if value)
    if given:
        raise ConfigError(fault(what, got=given, expected=expected, remedy="leave it out"))


def _query(words: Sequence[str], run: Path | None, *, explain: bool) -> Query:
    """What `predict` is asked for: models by name, and settings."""
    members = [word for word in words if "=" not in word]
    query = Query(members=tuple([str(run), *members] if run else members), explain=explain)
    configs.override(query, [word for word in words if "=" in word])
    configs.check(query)
    return query
