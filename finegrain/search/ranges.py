"""What `tune` varies: KEY=LOW..HIGH and KEY=A,B,... on the command line, and the recipe at one point between them."""

import copy
from collections.abc import Mapping, Sequence
from typing import TypeGuard

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from finegrain import config
from finegrain.errors import ConfigError, fault, fault_list
from finegrain.recipe import Recipe

Distribution = FloatDistribution | IntDistribution | CategoricalDistribution
Space = Mapping[str, Distribution]
"""What each varied key may be; of a choice the words as they were written."""

LOG_RATIO = 10
"""A range of positive numbers whose ends are at least this far apart is searched on a logarithmic scale."""
_FIXED = ("name", "seed", "data.", "runtime.", "train.monitor", "train.patience")
"""Keys, and beginnings of keys, by which trials could not be compared any more."""


def is_range(recipe: Recipe, word: str) -> bool:
    """Whether a KEY=VALUE word gives several values to a field that takes one."""
    key, _, text = word.partition("=")
    if text.startswith(("(", "[")):  # a tuple, of an argument of a network say
        return False
    separator = "," if "," in text else ".."
    try:
        first = _read(recipe, key, text.partition(separator)[0])
    except ConfigError:
        return False
    if separator == ",":
        return not isinstance(first, (tuple, list))
    return separator in text and _is_number(first)


def read_space(recipe: Recipe, words: Sequence[str]) -> Space:
    """What `words` declare; without any the learning rate, from a tenth to ten times the recipe's.

    Every end of a range and every choice must be allowed where all else is as in `recipe`.

    Raises:
        ConfigError: All that are not ranges of allowed values.
    """
    lr = recipe.optim.lr
    declared = dict(word.partition("=")[::2] for word in words) or {"optim.lr": f"{lr / 10:g}..{lr * 10:g}"}
    space, faults = {}, []
    for key, text in sorted(declared.items()):
        try:
            space[key] = _choices(recipe, key, text) if "," in text else _interval(recipe, key, text)
        except ConfigError as error:
            faults.append(str(error))
    if faults:
        raise ConfigError(fault_list("the ranges have faults", faults))
    return space


def varied(recipe: Recipe, values: Mapping[str, object]) -> Recipe:
    """A copy of `recipe` with `values` by key, not checked."""
    changed = copy.deepcopy(recipe)
    config.override(changed, as_words(values))
    return changed


def as_words(values: Mapping[str, object]) -> list[str]:
    """`values` as the words that set them on a command line, to the last bit."""
    return [f"{key}={value}" for key, value in values.items()]


def own_values(recipe: Recipe, space: Space) -> dict[str, object] | None:
    """What the recipe itself has of every key; None where one of them lies outside the space."""
    values = {key: _own(recipe, key, allowed) for key, allowed in space.items()}
    return None if None in values.values() else values


def in_words(allowed: Distribution) -> str:
    """What a key may be, for people."""
    if isinstance(allowed, CategoricalDistribution):
        return ", ".join(map(str, allowed.choices))
    return f"{allowed.low:g} to {allowed.high:g}, {'log-uniform' if allowed.log else 'uniform'}"


def _interval(recipe: Recipe, key: str, text: str) -> FloatDistribution | IntDistribution:
    ends = [_allowed(recipe, key, end) for end in text.split("..", 1)]
    low, high = ends[0], ends[-1]
    if not (_is_number(low) and _is_number(high) and low < high):
        expected, remedy = "LOW..HIGH with numbers LOW < HIGH", f"e.g. {key}=1..10"
        raise ConfigError(fault(f"{key} has no range", got=text, expected=expected, remedy=remedy))
    log = low > 0 and high / low >= LOG_RATIO
    if isinstance(low, int) and isinstance(high, int):
        return IntDistribution(low, high, log=log)
    return FloatDistribution(low, high, log=log)


def _choices(recipe: Recipe, key: str, text: str) -> CategoricalDistribution:
    words = [word.strip() for word in text.split(",")]
    values = [_allowed(recipe, key, word) for word in words]
    if any(value in values[:at] for at, value in enumerate(values)):
        remedy = "name each once"
        raise ConfigError(fault(f"{key} names a value twice", got=text, expected="different values", remedy=remedy))
    return CategoricalDistribution(words)


def _allowed(recipe: Recipe, key: str, text: str) -> object:
    if any(key == fixed or (fixed.endswith(".") and key.startswith(fixed)) for fixed in _FIXED):
        expected = f"any field but {', '.join(name.rstrip('.') for name in _FIXED)}"
        raise ConfigError(fault(f"{key} is not to be varied", got=text, expected=expected, remedy="give it one value"))
    config.check(varied(recipe, {key: text}))
    return _read(recipe, key, text)


def _own(recipe: Recipe, key: str, allowed: Distribution) -> object:
    value = config.flatten(recipe).get(key)  # an argument of a network that the recipe does not set has none
    if isinstance(allowed, CategoricalDistribution):
        return next((word for word in allowed.choices if _read(recipe, key, str(word)) == value), None)
    return value if _is_number(value) and allowed.low <= value <= allowed.high else None


def _read(recipe: Recipe, key: str, text: str) -> object:
    """The value that `text` stands for.

    Raises:
        ConfigError: No such key, or no such value.
    """
    return config.flatten(varied(recipe, {key: text}))[key]


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
