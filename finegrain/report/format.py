"""How numbers are written for people: per cent, counts, durations and sizes."""

import math

MISSING = "–"
"""Stands for a number that there is not."""
_SMALLEST_P = 1e-300


def percent(fraction: float | None, digits: int = 1) -> str:
    """A fraction in [0, 1] as per cent: 0.916 → `91.6 %` (with a no-break space)."""
    return MISSING if fraction is None or not math.isfinite(fraction) else f"{100 * fraction:.{digits}f}\N{NBSP}%"


def points(fraction: float | None, digits: int = 1) -> str:
    """A difference of fractions in percentage points, without a unit: 0.0048 → `0.5`."""
    return MISSING if fraction is None else f"{100 * fraction:.{digits}f}"


def signed(fraction: float | None) -> str:
    """A difference of fractions in percentage points with its sign: -0.0125 → `-1.25`."""
    return MISSING if fraction is None else f"{100 * fraction:+.2f}"


def interval(ends: tuple[float, float] | None, digits: int = 1) -> str:
    """Two fractions in [0, 1] as per cent: (0.905, 0.926) → `90.5–92.6`."""
    return MISSING if ends is None else f"{100 * ends[0]:.{digits}f}–{100 * ends[1]:.{digits}f}"


def decimal(value: float | None, digits: int = 3) -> str:
    """A number with `digits` decimals."""
    return MISSING if value is None or not math.isfinite(value) else f"{value:.{digits}f}"


def p_value(p: float | None, digits: int = 2) -> str:
    """A p value; one that a float64 cannot tell from 0 has a bound in its place: 0.0123 → `0.012`, 0 → `< 1e-300`."""
    return MISSING if p is None else f"{p:.{digits}g}" if p >= _SMALLEST_P else f"< {_SMALLEST_P:.0e}"


def is_p(p: float, digits: int = 2) -> str:
    """It in a sentence: `p = 0.012`, `p < 1e-300`."""
    shown = p_value(p, digits)
    return f"p {shown}" if shown.startswith("<") else f"p = {shown}"


def count(value: int) -> str:
    """A whole number with its thousands apart: 25600000 → `25,600,000`."""
    return f"{value:,}"


def duration(seconds: float) -> str:
    """Seconds in the two units that matter: `0.42 s`, `41.3 s`, `3 min 12 s`, `1 h 02 min`."""
    if seconds < 1:
        return f"{seconds:.2f} s"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def size(number: int | None) -> str:
    """Bytes in binary units: 1610612736 → `1.50 GiB`."""
    if number is None:
        return MISSING
    value = float(number)
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.2f} GiB"
