"""Which names of classes and paths are accepted from folders and lists."""

import re
import unicodedata
from collections.abc import Collection
from pathlib import PurePosixPath

from finegrain.errors import fault


def class_name_faults(names: Collection[str]) -> list[str]:
    """What is wrong with a set of class names: fewer than two, or some alike but for case or Unicode form."""
    faults = []
    if len(names) < 2:
        remedy = "compare data.root with the layout"
        faults.append(fault("too few classes", got=sorted(names), expected="at least 2", remedy=remedy))
    alike: dict[str, list[str]] = {}
    for name in sorted(names):
        alike.setdefault(unicodedata.normalize("NFC", name).casefold(), []).append(name)
    for group in alike.values():
        if len(group) > 1:
            expected = "names that differ in more than case or Unicode form"
            faults.append(fault("classes alike", got=group, expected=expected, remedy="rename or merge them"))
    return faults


def outside(path: str) -> str | None:
    """Why `path` from a list is not accepted as a path inside the root; None where it is.

    Nothing in a list is expanded or fetched: home folders, variables, links to the network and `..` are refused.
    """
    pure = PurePosixPath(path)
    if "://" in path or path.lower().startswith("file:"):
        return "a web address, not a path"
    if "\\" in path or re.match(r"[A-Za-z]:", path):
        return "a Windows path"
    if not pure.parts or pure.is_absolute() or ".." in pure.parts or "\0" in path:
        return "a path outside the root"
    if path.startswith(("~", "$")):
        return "a path that would need expanding"
    return None


def is_utf8(name: str) -> bool:
    """Whether `name`, as the file system gave it, can be written as UTF-8."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
