import pytest

from finegrain.report.escape import breakable, csv_cell, markdown, one_line


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Blue Jay", "Blue Jay"),
        ("Mésange bleue 🐦", "Mésange bleue 🐦"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("two\nlines\r\n", "two\\nlines\\r\\n"),
        ("not\udcffutf8", "not\\udcffutf8"),
        ("right\u202eto left", "right\\u202eto left"),
    ],
)
def test_one_line_shows_what_is_not_printable(text: str, shown: str) -> None:
    assert one_line(text) == shown
    shown.encode("utf-8")


@pytest.mark.parametrize("start", ["=", "+", "-", "@", " ="])
def test_csv_cell_never_begins_a_formula(start: str) -> None:
    assert csv_cell(f"{start}cmd()") == f"'{start}cmd()"


def test_csv_cell_leaves_a_plain_name_alone() -> None:
    assert csv_cell("001.Black_footed_Albatross") == "001.Black_footed_Albatross"


def test_csv_cell_shows_a_leading_tab_as_text() -> None:
    assert csv_cell("\t=1") == "\\t=1"


def test_markdown_is_literal() -> None:
    assert markdown("<b>|`x`_[a](b)") == "\\<b\\>\\|\\`x\\`\\_\\[a\\](b)"
    assert markdown("a\n# b") == "a\\\\n\\# b"


def test_a_long_name_may_break_after_its_words_and_stays_escaped() -> None:
    assert breakable("a_b c") == "a_<wbr>b c"
    assert breakable("__init__") == "__<wbr>init__"
    assert breakable("<i>_&") == "&lt;i&gt;_<wbr>&amp;"
