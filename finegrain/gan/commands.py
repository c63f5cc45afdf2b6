"""What `main_gan.py` does with a recipe, and in which run directory."""

import logging
from collections.abc import Sequence
from pathlib import Path

from finegrain import config as configs
from finegrain.errors import ConfigError, fault
from finegrain.gan.recipe import GanRecipe, build_networks, run
from finegrain.storage import RunDirectory, run_directory

logger = logging.getLogger(__name__)


def answer(words: Sequence[str], *, config: str, out: Path | None, resume: bool, dry_run: bool) -> str:
    """Override, check and train; return what to print.

    Args:
        words: KEY=VALUE of the recipe.
        config: The file that gives it.
        out: The run directory itself; none: under ckpt/<name>/, a new one, or the newest when `resume`.
        resume: Go on with a run that was begun.
        dry_run: Only say what would be done.

    Raises:
        FinegrainError: The user's input is at fault.
    """
    recipe = configs.load(config)
    if not isinstance(recipe, GanRecipe):
        got, remedy = type(recipe).__name__, "return GanRecipe(...), or train it with main.py"
        raise ConfigError(fault("config() returned no GanRecipe", got=got, expected="a GanRecipe", remedy=remedy))
    configs.override(recipe, words)
    configs.check(recipe)
    if dry_run:
        return plan(recipe)
    path = out or run_directory(recipe.name, "", newest=resume)
    if resume and not path.exists():
        logger.info("%s holds nothing to resume: a new run begins", path)
    return run(recipe, directory=RunDirectory(path, resume=resume))


def plan(recipe: GanRecipe) -> str:
    """What a run would do, without reading data: the resolved recipe, the networks, the steps."""
    facts = recipe.data.sizes()
    networks = build_networks(recipe, num_classes=facts.num_classes if facts else 2)
    counts = [f"{sum(p.numel() for p in network.parameters()):,}" for network in networks]
    lines = [configs.dump(recipe), f"generator: {counts[0]} parameters; discriminator: {counts[1]} parameters"]
    if facts is None:
        lines.append("The number of classes is known once the data is read; these networks have 2.")
    seen = recipe.train.steps * recipe.train.discriminator_steps * recipe.train.batch_size
    lines.append(f"{recipe.train.steps:,} steps in all, which see at most {seen:,} real images")
    return "\n".join(lines)
