from pathlib import Path

import numpy as np
import pytest
from repeated_sample import judged, make_repeated

from finegrain.errors import OutputError

FILES = {"costs.csv", "suspects.csv", "metrics.json", "cells.png", "confusion.png", "report.md", "report.html"}


def test_every_file_is_written_and_the_page_last(tmp_path: Path) -> None:
    written: list[str] = []

    def write(path: Path, content: bytes) -> None:
        written.append(path.name)
        path.write_bytes(content)

    assert make_repeated().write(tmp_path, write=write) == tmp_path / "report.html"
    assert set(written) == FILES
    assert written[-1] == "report.html"
    assert all((tmp_path / name).stat().st_size > 0 for name in written)


def test_the_same_evaluation_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        make_repeated().write(tmp_path / name)
    for first in (tmp_path / "a").iterdir():
        assert first.read_bytes() == (tmp_path / "b" / first.name).read_bytes()


def test_a_fault_in_writing_reaches_the_caller(tmp_path: Path) -> None:
    def full(path: Path, content: bytes) -> None:
        raise OutputError(f"no space left for {path.name}")

    with pytest.raises(OutputError, match=r"costs\.csv"):
        make_repeated().write(tmp_path, write=full)


def test_headline_is_one_safe_line_with_an_interval() -> None:
    report = make_repeated(name="a\n\x1b[0mb")
    top1 = np.array([cell.hits.mean() for cell in report.judged])
    low, high = report.metrics.of_both or (0, 0)
    assert report.headline() == (
        f"a\\n\\x1b[0mb: top-1 {100 * top1.mean():.1f}\N{NBSP}% ± {100 * top1.std(ddof=1):.1f} over 2 seeds × 3 folds "
        f"({100 * low:.1f}–{100 * min(high, 1):.1f} for other seeds and images), n = 18 images"
    )


def test_headline_of_one_cell_has_no_scatter() -> None:
    line = make_repeated(cells=judged(seeds=1, folds=1, per_class=9)).headline()
    assert "±" not in line
    assert "over 1 seed (" in line
    assert line.endswith("for other images), n = 27 images")


def test_headline_where_nothing_varies_claims_no_interval() -> None:
    cells = judged(seeds=2, folds=1)
    for cell in cells:
        cell.probabilities[:] = np.eye(3)[cell.labels]
    assert make_repeated(cells=cells).headline() == "birds: top-1 100.0\N{NBSP}% ± 0.0 over 2 seeds, n = 6 images"
