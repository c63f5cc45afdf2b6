"""The errors a user can cause, and the one form their messages take."""

from collections.abc import Sequence


class FinegrainError(Exception):
    """The user's input or machine was at fault: one clear message and an exit code, no traceback."""

    exit_code = 2


class ConfigError(FinegrainError):
    """A config file, a key or a value is wrong."""


class DataError(FinegrainError):
    """Images, labels or splits cannot be used as they are."""


class WeightsError(FinegrainError):
    """A model's name or its pretrained weights cannot be used."""


class CheckpointError(FinegrainError):
    """A checkpoint is damaged or belongs to something else."""


class OutputError(FinegrainError):
    """The output directory cannot be written: missing rights, in use, or the disk is full."""


class InUseError(OutputError):
    """Another process holds the output directory."""


class DeviceError(FinegrainError):
    """The device lacks the memory or an operation."""


class NumericsError(FinegrainError):
    """Training met a loss or gradient that is not finite."""


def fault(what: str, *, got: object, expected: str, remedy: str) -> str:
    """Write one message: `<what is wrong>: got <value>; expected <allowed>; <remedy>`."""
    shown = got if isinstance(got, str) else repr(got)
    return f"{what}: got {printable(shown)}; expected {expected}; {remedy}"


def fault_list(title: str, faults: Sequence[str], *, shown: int = 20) -> str:
    """Join several faults under one title, at most `shown` of them, with the total."""
    if len(faults) == 1:
        return faults[0]
    lines = [f"{title} ({len(faults)} faults):"]
    lines += [f"  {number}. {text}" for number, text in enumerate(faults[:shown], start=1)]
    if len(faults) > shown:
        lines.append(f"  ... and {len(faults) - shown} more")
    return "\n".join(lines)


def printable(text: str) -> str:
    """`text` safe for any terminal: control characters and lone surrogates shown as escapes, newlines kept."""
    visible = (c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode("ascii") for c in text)
    return "".join(visible)
