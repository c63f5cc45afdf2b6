"""What `main_gan.py` does: train by a recipe, write the images of a generator, judge them, or see if they help."""

import dataclasses
import logging
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from finegrain import config as configs
from finegrain.engine.interrupt import Interrupted
from finegrain.errors import ConfigError, OutputError, fault
from finegrain.gan.experiment import Experiment
from finegrain.gan.generate import Order, generate, newest_run
from finegrain.gan.methods.base import GenerativeRecipe
from finegrain.gan.quality import quality as judge_quality
from finegrain.gan.recipe import CONFIG, EXTRACTOR, build_networks, run
from finegrain.gan.verdict import SETTINGS
from finegrain.gan.verdict import verdict as give_verdict
from finegrain.recipe import Recipe
from finegrain.report.quality import NUMBERS
from finegrain.storage import RunDirectory, locate, run_directory

logger = logging.getLogger(__name__)

JUDGE = "configs/gan_judge.py"
"""The classifier's recipe by which images are judged where none is named: of the birds that configs/gan.py draws."""


def answer(
    words: Sequence[str],
    *,
    config: str | None,
    out: Path | None,
    resume: bool,
    dry_run: bool,
    gen: bool = False,
    quality: bool = False,
    verdict: bool = False,
    **order: Any,
) -> str:
    """Override, check and train, or generate, or judge; return what to print.

    Args:
        words: KEY=VALUE of the recipe; for `gen` of an `Order`, and a run; for `quality` versions too, for
            `verdict` one, and KEY=VALUE of an `Experiment`.
        config: The file that gives the recipe; for `quality` and `verdict` a classifier's.
        out: The run directory itself; none: under ckpt/<name>/, a new one, or the newest when `resume`. For `gen` the
            version's folder, for `quality` and `verdict` the report's.
        resume: Go on with a run that was begun.
        dry_run: Only say what would be done.
        gen: Write the images of a generator that there is.
        quality: Judge versions that were written.
        verdict: See whether a version helps a classifier.
        order: Fields of its `Order` as they were typed; None where they were not.

    Raises:
        FinegrainError: The user's input is at fault.
    """
    if gen:
        return _generate(words, config=config, out=out, resume=resume, dry_run=dry_run, **order)
    if given := [f"--{name.replace('_', '-')}" for name, value in order.items() if value is not None]:
        what, remedy = "only --gen takes these options", "add --gen, or leave them out"
        raise ConfigError(fault(what, got=", ".join(given), expected="--gen as well", remedy=remedy))
    if quality:
        return _judge(words, config=config, out=out, resume=resume, dry_run=dry_run)
    if verdict:
        return _verdict(words, config=config, out=out, resume=resume, dry_run=dry_run)
    if config is None:
        expected = "a Python file with config() -> GanRecipe"
        remedy = "name configs/gan.py to train, or add --gen, --quality or --verdict"
        raise ConfigError(fault("--config is missing", got="none", expected=expected, remedy=remedy))
    recipe = _load(config)
    configs.override(recipe, words)
    configs.check(recipe)
    if dry_run:
        return plan(recipe)
    if out is None and "WORLD_SIZE" in os.environ:
        expected, remedy = "--out, one directory for all processes", "add it"
        raise ConfigError(fault("torchrun without --out", got="none", expected=expected, remedy=remedy))
    path = out or run_directory(recipe.name, "", newest=resume)
    if resume:
        _require_run(path, recipe)
    return run(recipe, directory=RunDirectory(path, resume=resume))


def _require_run(path: Path, recipe: GenerativeRecipe) -> None:
    """Refuse to go on in a folder that holds something else than a training by such a recipe."""
    if not path.exists():
        logger.info("%s holds nothing to resume: a new run begins", path)
        return
    names = sorted(file.name for file in path.iterdir()) if path.is_dir() else [path.name]
    if CONFIG in names:
        kind = f"-> {type(recipe).__name__}:"
        others = [] if kind in (path / CONFIG).read_text(encoding="utf-8", errors="replace") else [CONFIG]
    else:  # a run that was killed before it wrote that has left no more than these
        others = [name for name in names if name not in ("checkpoints", "run.lock", EXTRACTOR) and name[0] != "."]
    if others:
        got = "a config.py of another kind" if others == [CONFIG] else f"{', '.join(others[:3])} and no config.py"
        expected, remedy = f"a training that a {type(recipe).__name__} began", "name its --out, or leave --resume out"
        raise OutputError(fault(f"{path} holds nothing to go on with", got=got, expected=expected, remedy=remedy))


def _load(config: str) -> GenerativeRecipe:
    recipe = configs.load(config)
    if not isinstance(recipe, GenerativeRecipe):
        expected, remedy = "a GanRecipe, VaeRecipe or DiffusionRecipe", "return one of these, or train it with main.py"
        got = type(recipe).__name__
        raise ConfigError(fault("config() returned no generator's recipe", got=got, expected=expected, remedy=remedy))
    return recipe


def _generate(
    words: Sequence[str],
    *,
    config: str | None,
    out: Path | None,
    resume: bool,
    dry_run: bool,
    classes: Sequence[str] | None = None,
    **numbers: str | None,
) -> str:
    """Write the images of the run that is named, else of the newest, of the config's name if there is one."""
    if resume:
        expected, remedy = "the same command with the same --out, which goes on", "leave it out"
        raise ConfigError(fault("--gen takes no such option", got="--resume", expected=expected, remedy=remedy))
    order = Order(classes=tuple(classes or ()))
    typed = [f"{name}={value}" for name, value in numbers.items() if value is not None]
    configs.override(order, [*(word for word in words if "=" in word), *typed])
    configs.check(order)
    runs = [Path(word) for word in words if "=" not in word]
    if len(runs) > 1:
        got, remedy = ", ".join(map(str, runs)), "generate from one after the other"
        raise ConfigError(fault("--gen takes one run", got=got, expected="one directory", remedy=remedy))
    run = runs[0] if runs else newest_run(_load(config).name if config else None)
    return generate(order, run=run, out=out, dry_run=dry_run)


def _judge(words: Sequence[str], *, config: str | None, out: Path | None, resume: bool, dry_run: bool) -> str:
    """Judge the versions that are named by a classifier's recipe."""
    if resume:
        expected, remedy = "the same command, which judges again", "leave it out"
        raise ConfigError(fault("--quality takes no such option", got="--resume", expected=expected, remedy=remedy))
    recipe = classifier_recipe(config, words)
    versions = [Path(word) for word in words if "=" not in word]
    if not versions:
        expected, remedy = "folders that --gen wrote", "name one or more, gen/<version>"
        raise ConfigError(fault("--quality of no version", got="none", expected=expected, remedy=remedy))
    if dry_run:
        return f"{configs.dump(recipe)}\nversions: {', '.join(map(str, versions))}"
    path = out or run_directory(recipe.name, "quality-", newest=False)
    return judge_quality(recipe, versions, directory=RunDirectory(path, resume=(path / NUMBERS).exists()))


def _verdict(words: Sequence[str], *, config: str | None, out: Path | None, resume: bool, dry_run: bool) -> str:
    """Train a classifier by its recipe with and without the version that is named."""
    if resume:
        expected, remedy = "the same command with the same --out, which goes on", "leave it out"
        raise ConfigError(fault("--verdict takes no such option", got="--resume", expected=expected, remedy=remedy))
    experiment = Experiment()
    own = [field.name for field in dataclasses.fields(experiment)]
    configs.override(experiment, [word for word in words if word.partition("=")[0] in own])
    configs.check(experiment)
    recipe = classifier_recipe(config, [word for word in words if word.partition("=")[0] not in own], others=own)
    versions = [Path(word) for word in words if "=" not in word]
    if len(versions) != 1:
        got, remedy = ", ".join(map(str, versions)) or "none", "name one, gen/<version>"
        raise ConfigError(fault("--verdict is on one version", got=got, expected="a folder of --gen", remedy=remedy))
    if dry_run:
        return f"{configs.dump(recipe)}\n{experiment}\nversion: {versions[0]}"
    path = out or run_directory(recipe.name, "verdict-", newest=False)
    directory = RunDirectory(path, resume=(path / SETTINGS).exists())
    try:
        return give_verdict(recipe, experiment, versions[0], directory=directory)
    except (KeyboardInterrupt, Interrupted) as stop:  # the second comes from a training, whose --resume is not ours
        number, where = (stop.signal, stop.where) if isinstance(stop, Interrupted) else (signal.SIGINT, "the verdict")
        kept = "features and trainings by the whole recipe are kept, heads are fitted anew"
        remedy = f"{kept}: the same command with --out {path} goes on"
        raise Interrupted(number, where=where, remedy=remedy) from None


def classifier_recipe(config: str | None, words: Sequence[str], *, others: Sequence[str] = ()) -> Recipe:
    """The classifier's recipe of the file `config`, of `JUDGE` without one, with the KEY=VALUE among `words`.

    `others` are keys that the command knows beside the recipe's.
    """
    recipe = configs.load(config or locate(JUDGE))
    if not isinstance(recipe, Recipe):
        got, remedy = type(recipe).__name__, f"name one such as {JUDGE}"
        raise ConfigError(fault("config() returned no Recipe", got=got, expected="a classifier's", remedy=remedy))
    configs.override(recipe, [word for word in words if "=" in word], others=others)
    configs.check(recipe)
    return recipe


def plan(recipe: GenerativeRecipe) -> str:
    """What a run would do, without reading data: the resolved recipe, the networks, the steps."""
    facts = recipe.data.sizes()
    networks = build_networks(recipe, num_classes=facts.num_classes if facts else 2)
    counts = {name: sum(p.numel() for p in network.parameters()) for name, network in networks.items()}
    sizes = [f"{name}: {count:,} parameters" for name, count in counts.items()]
    lines = [configs.dump(recipe), "; ".join(sizes)]
    if facts is None:
        lines.append("The number of classes is known once the data is read; these networks have 2.")
    seen = recipe.train.steps * recipe.train.batches_per_step * recipe.train.batch_size
    lines.append(f"{recipe.train.steps:,} steps in all, which see at most {seen:,} real images")
    return "\n".join(lines)
