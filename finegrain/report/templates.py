"""Fill in the templates of the reports: one environment, in which HTML is escaped and nothing may be missing."""

from collections.abc import Mapping
from importlib import resources
from typing import Any

import jinja2
from markupsafe import Markup

from finegrain.report.escape import breakable, markdown, one_line
from finegrain.report.format import count, decimal, duration, interval, is_p, p_value, percent, points, signed, size


def render(template: str, content: Mapping[str, Any]) -> str:
    """`template`, a file beside this one, filled with `content`; names ending in `.html.jinja` are escaped."""
    return _environment().get_template(template).render(content)


def one_line_pairs(pairs: Mapping[str, str]) -> list[tuple[str, str]]:
    """Keys and values, each on one line."""
    return [(one_line(key), one_line(value)) for key, value in pairs.items()]


def _asset(name: str) -> Markup:
    return Markup(resources.files("finegrain.report").joinpath(name).read_text(encoding="utf-8"))


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("finegrain", "report"),
        autoescape=lambda name: name is not None and ".html" in name,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["asset"] = _asset
    environment.filters |= {
        "percent": percent,
        "interval": interval,
        "points": points,
        "signed": signed,
        "decimal": decimal,
        "count": count,
        "p_value": p_value,
        "is_p": is_p,
        "duration": duration,
        "size": size,
        "markdown": markdown,
        "breakable": breakable,
    }
    return environment
