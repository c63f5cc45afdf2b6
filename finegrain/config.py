"""Load a config file, override its leaf fields, check every value, and write it back as Python.

Knows dataclasses and type hints, nothing about images: the sections are defined beside what they configure.
"""

import ast
import dataclasses
import difflib
import importlib.util
import math
import re
import sys
import traceback
import types
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from finegrain.errors import ConfigError, fault, fault_list


@dataclass(frozen=True, kw_only=True, slots=True)
class Range:
    """Allowed numbers, as metadata of a field: `Annotated[float, Range(above=0)]`."""

    above: float | None = None
    """Exclusive lower end."""
    least: float | None = None
    """Inclusive lower end."""
    below: float | None = None
    """Exclusive upper end."""
    most: float | None = None
    """Inclusive upper end."""

    def holds(self, value: float) -> bool:
        """Whether `value` lies in the range."""
        return not (
            (self.above is not None and value <= self.above)
            or (self.least is not None and value < self.least)
            or (self.below is not None and value >= self.below)
            or (self.most is not None and value > self.most)
        )

    def __str__(self) -> str:
        ends = ((">", self.above), ("≥", self.least), ("<", self.below), ("≤", self.most))
        return " and ".join(f"{sign} {end:g}" for sign, end in ends if end is not None)


Positive = Annotated[float, Range(above=0)]
NonNegative = Annotated[float, Range(least=0)]
Fraction = Annotated[float, Range(least=0, most=1)]
Probability = Annotated[float, Range(least=0, below=1)]
Count = Annotated[int, Range(least=1)]
CountOrZero = Annotated[int, Range(least=0)]


def load(path: str | Path) -> Any:
    """Run the config file at `path` and return what its `config()` returns.

    The file may import its neighbours as `from configs.base import ...`: the folder above its own is
    importable meanwhile.

    Raises:
        ConfigError: No such file, no `config()`, it raised, or it returned no dataclass.
    """
    file = Path(path)
    if not file.is_file():
        known = sorted(str(p) for p in file.parent.glob("*.py")) if file.parent.is_dir() else []
        hint = _nearest(str(file), known) or "name an existing file, e.g. configs/quickstart.py"
        raise ConfigError(fault("no such config file", got=str(file), expected="a Python file", remedy=hint))
    spec = importlib.util.spec_from_file_location("finegrain_config", file)
    if spec is None or spec.loader is None:
        raise ConfigError(
            fault("not a Python file", got=str(file), expected="a name ending in .py", remedy="rename it")
        )
    module = importlib.util.module_from_spec(spec)
    above = str(file.resolve().parent.parent)
    sys.path.insert(0, above)
    try:
        spec.loader.exec_module(module)
        recipe = module.config()
    except ConfigError:
        raise
    except Exception as error:
        raise ConfigError(_explain(error, file)) from error
    finally:
        sys.path.remove(above)
    if not dataclasses.is_dataclass(recipe) or isinstance(recipe, type):
        raise ConfigError(
            fault(
                f"{file}: config() must return a Recipe", got=recipe, expected="a Recipe", remedy="return Recipe(...)"
            )
        )
    return recipe


def override(recipe: Any, assignments: Sequence[str], *, others: Sequence[str] = ()) -> None:
    """Set leaf fields of `recipe` in place from `section.field=value` words, each value parsed by the field's type.

    Args:
        recipe: A dataclass of values and of further such dataclasses.
        assignments: The words.
        others: Keys that are set elsewhere: an unknown one may have been meant as one of these.

    Raises:
        ConfigError: Every unknown key and unreadable value, all in one message.
    """
    faults = []
    for word in assignments:
        try:
            _assign(recipe, word, others)
        except ConfigError as error:
            faults.append(str(error))
    if faults:
        raise ConfigError(fault_list("the command line has faults", faults))


def check(recipe: Any) -> None:
    """Check every field's type and range, and ask every section for its own `faults()`.

    Raises:
        ConfigError: All faults at once.
    """
    faults = list(_faults(recipe, prefix=""))
    if faults:
        raise ConfigError(fault_list("the config has faults", faults))


def dump(recipe: Any) -> str:
    """`recipe` as the source of a config file: `load` of that file gives an equal recipe."""
    sections = list(_sections(recipe))
    names: dict[str, set[str]] = {}
    for section in sections:
        names.setdefault(type(section).__module__, set()).add(type(section).__name__)
    imports = [f"from {module} import {', '.join(sorted(names[module]))}" for module in sorted(names)]
    root = type(recipe).__name__
    head = ['"""The resolved recipe of one run; the same command on this file repeats the run."""', "", *imports]
    body = [
        f"def config() -> {root}:",
        '    """Return the recipe as it was run."""',
        f"    return {_source(recipe, 1)}",
    ]
    return "\n".join([*head, "", "", *body, ""])


def read_dump(source: str) -> dict[str, Any]:
    """The leaf fields in what `dump` wrote, by dotted key, and the class of each section; nothing in it is run.

    Raises:
        ValueError: It is no such source.
    """
    try:
        returned = [node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Return) and node.value]
        return dict(_read_leaves(returned[0], ""))
    except (SyntaxError, IndexError, TypeError, RecursionError, MemoryError) as error:
        raise ValueError(str(error)) from error


def flatten(recipe: Any, prefix: str = "") -> dict[str, Any]:
    """Every leaf field by its dotted key, in order of definition; of a dict, every entry."""
    leaves: dict[str, Any] = {}
    for field in dataclasses.fields(recipe):
        value = getattr(recipe, field.name)
        key = f"{prefix}{field.name}"
        leaves.update(flatten(value, f"{key}.") if dataclasses.is_dataclass(value) else _entries(key, value))
    return leaves


def _entries(key: str, value: Any) -> dict[str, Any]:
    return {f"{key}.{name}": entry for name, entry in value.items()} if isinstance(value, dict) else {key: value}


def _read_leaves(node: ast.expr, key: str) -> Iterator[tuple[str, Any]]:
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
        yield from _entries(key, ast.literal_eval(node)).items()
        return
    if node.args or not all(keyword.arg for keyword in node.keywords):
        raise ValueError(f"{ast.unparse(node)} is no section")
    if key:
        yield key, node.func.id
    for keyword in node.keywords:
        yield from _read_leaves(keyword.value, f"{key}.{keyword.arg}" if key else str(keyword.arg))


def _assign(recipe: Any, word: str, others: Sequence[str]) -> None:
    key, separator, text = word.partition("=")
    if not separator:
        raise ConfigError(fault("not an override", got=word, expected="KEY=VALUE", remedy="e.g. optim.lr=3e-4"))
    section, hint = recipe, None
    parts = key.split(".")
    for depth, part in enumerate(parts):
        fields = {field.name for field in dataclasses.fields(section)}
        if part not in fields:
            raise ConfigError(_unknown_key(recipe, key, others))
        hint = get_type_hints(type(section), include_extras=True)[part]
        value = getattr(section, part)
        if isinstance(value, dict) and depth == len(parts) - 2:
            setattr(section, part, value | {parts[-1]: _literal(text)})
            return
        last = depth == len(parts) - 1
        if dataclasses.is_dataclass(value) != (not last):
            raise ConfigError(_unknown_key(recipe, key, others))
        if not last:
            section = value
    try:
        setattr(section, parts[-1], parse(text, hint))
    except ValueError:
        raise ConfigError(
            fault(f"{key} cannot take this value", got=text, expected=describe(hint), remedy=f"write {key}=VALUE")
        ) from None


def parse(text: str, hint: Any) -> Any:
    """`text` from the command line as a value of the type `hint`.

    Raises:
        ValueError: It is no such value.
    """
    hint = _bare(hint)
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        if type(None) in arguments and text.lower() == "none":
            return None
        for option in arguments:
            if option is not type(None):
                try:
                    return parse(text, option)
                except ValueError:
                    continue
        raise ValueError(text)
    if origin is Literal:
        for option in arguments:
            if text == str(option):
                return option
        raise ValueError(text)
    if origin in (tuple, list):
        words = [word.strip() for word in text.strip("()[]").split(",") if word.strip()]
        kinds = [arguments[0]] * len(words) if origin is list or arguments[-1] is Ellipsis else list(arguments)
        if len(kinds) != len(words):
            raise ValueError(text)
        return origin(parse(word, kind) for word, kind in zip(words, kinds, strict=True))
    if origin is dict and matches(value := _literal(text), hint):
        return value
    if hint is bool:
        if text.lower() not in ("true", "false"):
            raise ValueError(text)
        return text.lower() == "true"
    if hint in (int, float, str):
        return hint(text)
    raise ValueError(text)


def describe(hint: Any) -> str:
    """The type `hint` in words a user can act on, with its range."""
    if get_origin(hint) is Annotated:
        base, *extras = get_args(hint)
        return " ".join([describe(base), *(str(extra) for extra in extras)])
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return " or ".join("none" if option is type(None) else describe(option) for option in arguments)
    if origin is Literal:
        return "one of " + ", ".join(str(option) for option in arguments)
    if origin in (tuple, list):
        if origin is list or arguments[-1] is Ellipsis:
            one = describe(arguments[0])
            return "some" + one.removeprefix("one") if get_origin(arguments[0]) is Literal else f"{one}, {one}, ..."
        return ", ".join(describe(option) for option in arguments)
    if origin is dict:
        return "values by name"
    named = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
    return named.get(hint, getattr(hint, "__name__", str(hint)))


def matches(value: Any, hint: Any) -> bool:
    """Whether `value` is of the type `hint`, within its range, and finite."""
    if get_origin(hint) is Annotated:
        base, *extras = get_args(hint)
        return matches(value, base) and all(value is None or extra.holds(value) for extra in extras)
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return any(matches(value, option) for option in arguments)
    if origin is Literal:
        return any(value == option and type(value) is type(option) for option in arguments)
    if origin in (tuple, list):
        if not isinstance(value, origin):
            return False
        open_ended = origin is list or arguments[-1] is Ellipsis
        kinds = [arguments[0]] * len(value) if open_ended else list(arguments)
        return len(kinds) == len(value) and all(matches(v, kind) for v, kind in zip(value, kinds, strict=True))
    if origin is dict:
        return isinstance(value, dict) and all(isinstance(key, str) for key in value)
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return hint is Any or isinstance(value, hint)


def _faults(section: Any, prefix: str) -> Iterator[str]:
    hints = get_type_hints(type(section), include_extras=True)
    sound = True
    for field in dataclasses.fields(section):
        value, hint, key = getattr(section, field.name), hints[field.name], f"{prefix}{field.name}"
        if not matches(value, hint):
            sound = False
            yield fault(
                f"{key} is not allowed", got=value, expected=describe(hint), remedy=f"set {key} to one of these"
            )
        elif dataclasses.is_dataclass(value):
            yield from _faults(value, f"{key}.")
    if sound and hasattr(section, "faults"):
        yield from section.faults()


def _sections(section: Any) -> Iterator[Any]:
    yield section
    for field in dataclasses.fields(section):
        value = getattr(section, field.name)
        if dataclasses.is_dataclass(value):
            yield from _sections(value)


def _source(value: Any, depth: int) -> str:
    if not dataclasses.is_dataclass(value):
        return repr(value)
    pad = "    " * (depth + 1)
    rows = [f"{pad}{f.name}={_source(getattr(value, f.name), depth + 1)}," for f in dataclasses.fields(value)]
    return "\n".join([f"{type(value).__name__}(", *rows, "    " * depth + ")"]) if rows else f"{type(value).__name__}()"


def _bare(hint: Any) -> Any:
    return get_args(hint)[0] if get_origin(hint) is Annotated else hint


def _literal(text: str) -> Any:
    """`text` as the value it spells in Python, `true` and `none` included; else as it is."""
    if text.lower() in ("true", "false", "none"):
        return {"true": True, "false": False}.get(text.lower())
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        return text


def _unknown_key(recipe: Any, key: str, others: Sequence[str]) -> str:
    known = [*others, *flatten(recipe)]
    section = [name for name in known if name.startswith(key + ".")]
    if section:
        return fault(
            f"{key} is a section, not a field",
            got=key,
            expected="one of " + ", ".join(section),
            remedy="set its fields",
        )
    remedy = _nearest(key, known) or "see the resolved recipe with --dry-run"
    expected = f"a leaf field of the recipe, or {', '.join(others)}" if others else "a leaf field of the recipe"
    return fault("unknown config key", got=key, expected=expected, remedy=remedy)


def _nearest(word: str, known: Sequence[str]) -> str:
    """'did you mean ...?' for the known name closest to `word`, whole or by its last part; '' when none is near."""
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    if not close:
        last = {name.rpartition(".")[2]: name for name in known}
        close = [last[n] for n in difflib.get_close_matches(word.rpartition(".")[2], list(last), n=1, cutoff=0.6)]
    return f"did you mean {close[0]}?" if close else ""


def _explain(error: Exception, file: Path) -> str:
    """One line for an exception that a config file raised: where, what, and the nearest field's name."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if Path(f.filename).resolve() == file.resolve()]
    line = frames[-1].lineno if frames else getattr(error, "lineno", None)
    misnamed = re.search(r"'?(\w+)'? object has no attribute '(\w+)'", str(error)) or re.search(
        r"(\w+)\.__init__\(\) got an unexpected keyword argument '(\w+)'", str(error)
    )
    return fault(
        f"{file}:{line} raised {type(error).__name__}" if line else f"{file} raised {type(error).__name__}",
        got=str(error),
        expected="config() to return a Recipe",
        remedy=(_nearest_field(misnamed[1], misnamed[2], error) if misnamed else "") or "mend the file",
    )


def _nearest_field(section: str, name: str, error: Exception) -> str:
    """The field that `name` was meant to be, in the dataclass called `section` wherever it was loaded from."""
    spaces = [frame.f_globals for frame, _ in traceback.walk_tb(error.__traceback__)]
    spaces += [vars(module) for key, module in list(sys.modules.items()) if key.startswith("finegrain.")]
    found = next((space[section] for space in spaces if dataclasses.is_dataclass(space.get(section))), None)
    if found is None:
        return ""
    names = [field.name for field in dataclasses.fields(found)]
    return _nearest(name, names) or f"the fields of {section} are {', '.join(names)}"


__all__ = [
    "Count", "CountOrZero", "Fraction", "NonNegative", "Positive", "Probability", "Range",
    "check", "describe", "dump", "flatten", "load", "matches", "override", "parse", "read_dump",
]  # fmt: skip
