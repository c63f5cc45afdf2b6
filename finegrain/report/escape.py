"""Make text that users and files chose (class names, paths, reasons) harmless where the report shows it."""

import re

from markupsafe import Markup, escape

from finegrain.errors import printable

_FORMULA_STARTS = ("=", "+", "-", "@")
_MARKDOWN_SPECIAL = re.compile(r"([\\`*_\[\]<>|#~&!$])")


def one_line(text: str) -> str:
    r"""`text` on one line: control characters (newlines, ANSI) and lone surrogates as `\n`, `\x1b`, `\udcff`."""
    return printable(text).replace("\n", "\\n")


def csv_cell(text: str) -> str:
    """`text` as a spreadsheet shows it and never runs it: a leading `=`, `+`, `-` or `@` gets an apostrophe.

    See OWASP, "CSV Injection".
    """
    line = one_line(text)
    return f"'{line}" if line.lstrip().startswith(_FORMULA_STARTS) else line


def breakable(text: str) -> Markup:
    """`text` escaped for HTML, with leave to break a line after its `_`: class names often have no space."""
    return Markup(re.sub(r"_(?=[^_])", "_<wbr>", str(escape(text))))


def markdown(text: str) -> str:
    """`text` as literal Markdown, safe inside a table cell and free of HTML."""
    return _MARKDOWN_SPECIAL.sub(r"\\\1", one_line(text))
