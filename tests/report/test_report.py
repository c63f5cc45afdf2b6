from pathlib import Path

import pytest
from report_sample import make_report

from finegrain.errors import OutputError

ALWAYS = {"metrics.json", "predictions.csv", "confusion.png", "report.md", "report.html"}


def test_every_file_is_written_and_the_page_last(tmp_path: Path) -> None:
    written: list[str] = []

    def write(path: Path, content: bytes) -> None:
        written.append(path.name)
        path.write_bytes(content)

    assert make_report().write(tmp_path, write=write) == tmp_path / "report.html"
    assert set(written) == ALWAYS | {"history.csv", "curves.png"}
    assert written[-1] == "report.html"
    assert all((tmp_path / name).stat().st_size > 0 for name in written)


def test_an_evaluation_alone_has_no_history(tmp_path: Path) -> None:
    make_report(history=()).write(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == ALWAYS


def test_the_same_run_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        make_report().write(tmp_path / name)
    for first in (tmp_path / "a").iterdir():
        assert first.read_bytes() == (tmp_path / "b" / first.name).read_bytes()


def test_a_fault_in_writing_reaches_the_caller(tmp_path: Path) -> None:
    def full(path: Path, content: bytes) -> None:
        raise OutputError(f"no space left for {path.name}")

    with pytest.raises(OutputError, match=r"metrics\.json"):
        make_report().write(tmp_path, write=full)


def test_headline_is_one_safe_line() -> None:
    line = make_report(name="a\n\x1b[0mb").headline()
    assert line == "a\\n\\x1b[0mb: test top-1 88.9\N{NBSP}% (56.5–98.0, n = 9), macro-F1 88.6\N{NBSP}%"
