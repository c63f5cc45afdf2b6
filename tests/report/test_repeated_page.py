import re

import numpy as np
import pytest
from parsed_page import HOSTILE, Page, asks_for_nothing
from repeated_sample import judged, make_repeated
from report_sample import shown

from finegrain.metrics.repeated import Judged
from finegrain.report import repeated_page as page
from finegrain.report.repeated_tables import suspects_csv


def test_the_page_tells_the_numbers() -> None:
    report = make_repeated()
    top1 = report.metrics.top1
    text = Page(page.html(report)).text
    for expected in (
        f"{100 * top1.spread.mean:.1f}\N{NBSP}%", f"± {100 * (top1.spread.sd or 0):.1f}", "2 seeds × 3 folds",
        "18 images were judged", "corrected t-interval", "stratified bootstrap", "crossed with images",
        "102,600", "11,279,112", "a1_in1k", "1.50 GiB", "24.0 s", "4.0 s on average, 1.5 s to 6.5 s", "2.15.0",
        "t0t0t0t0t0t0t0t0…", "truncated", "The dataset names no groups.", "return Recipe(a < b)",
        "Every image is held out once for each seed.", "val chose the epoch.", "taken for", "36 answers, 2 for every",
    ):  # fmt: skip
        assert expected.replace("\N{NBSP}", " ") in text, expected


def test_the_page_tells_what_confidence_is_worth() -> None:
    report = make_repeated()
    parsed = Page(page.html(report))
    half = f"surest of, {100 * report.metrics.risk[9]:.1f} % of them are wrong"
    for text in (parsed.text, page.summary(report)):
        assert half in text.replace("\N{NBSP}", " ")
        assert f"{report.metrics.brier.spread.mean:.3f}" in text
        assert f"{100 * report.metrics.ece.spread.mean:.1f} %" in text.replace("\N{NBSP}", " ")
    assert any("Wrong among the answers given" in str(svg["aria-label"]) for svg in parsed.having("svg", role="img"))


def test_suspected_labels_are_counted_shown_and_called_suspicions() -> None:
    cells = judged(per_class=9)
    for cell in cells:
        cell.probabilities[:] = 0.8 * np.eye(3)[cell.labels] + 0.2 / 3
        cell.probabilities[0] = [0.05, 0.9, 0.05]
    report = make_repeated(cells=cells)
    assert [s.path for s in report.metrics.suspects] == ["0/0-0.jpg", "0/1-0.jpg", "0/2-0.jpg"]
    report = make_repeated(cells=cells, suspects=[shown(report.metrics.suspects[0])])
    parsed = Page(page.html(report))
    assert "3 of 81 images are suspected of a wrong label" in parsed.text
    assert "A suspicion is no finding." in parsed.text
    assert "wren 5.0 % taken for robin 90.0 % 0/0-0.jpg" in parsed.text
    assert len(parsed.having("img")) == 2
    assert "3 of 81 images are suspected of a wrong label, listed in suspects.csv" in page.summary(report)
    assert suspects_csv(report).splitlines()[:2] == [
        "path,label,suggested,probability_label,probability_suggested",
        "0/0-0.jpg,wren,robin,0.05,0.9",
    ]


def test_no_suspicion_is_no_proof() -> None:
    cells = judged()
    for cell in cells:
        cell.probabilities[:] = np.eye(3)[cell.labels]
    report = make_repeated(cells=cells)
    assert "That does not prove the labels right." in Page(page.html(report)).text
    assert len(suspects_csv(report).splitlines()) == 1


def test_the_page_asks_for_nothing_from_anywhere() -> None:
    asks_for_nothing(page.html(make_repeated()))


def test_every_class_has_its_scatter_over_the_cells() -> None:
    report = make_repeated()
    text, short = Page(page.html(report)).text.replace("\N{NBSP}", " "), page.summary(report)
    for row, name in zip(report.metrics.per_class, report.class_names, strict=True):
        recall, sd = f"{100 * row.recall:.1f}", f"{100 * row.spread.sd:.1f}"
        assert f"{name} 6 {recall} % {sd} " in text
        assert f"| {name} | 6 | {recall}\N{NBSP}% | {sd} | " in short


def test_hostile_names_are_only_ever_text() -> None:
    plain = Page(page.html(make_repeated([f"c{i}" for i in range(len(HOSTILE))])))
    html = page.html(
        make_repeated(
            HOSTILE,
            name=HOSTILE[0],
            weights=HOSTILE[2],
            protocol=HOSTILE,
            notes=HOSTILE,
            environment={name: name for name in HOSTILE},
            dropped=[(name, HOSTILE[2]) for name in HOSTILE],
        )
    )
    hostile = Page(html)
    assert len(hostile.having("script")) == len(plain.having("script"))
    assert len(hostile.having("img")) == len(plain.having("img")) == 0
    assert not any(name.startswith("on") for _, attributes in hostile.tags for name in attributes)
    matrix = hostile.islands["matrix-data"]
    assert isinstance(matrix, dict)
    assert matrix["names"][0] == HOSTILE[0]
    assert "\x1b" not in html
    assert "{{ 7 * 7 }}" in hostile.text
    html.encode("utf-8")


def test_the_matrix_is_the_sum_over_the_cells() -> None:
    report = make_repeated()
    matrix = Page(page.html(report)).islands["matrix-data"]
    assert isinstance(matrix, dict)
    rebuilt = np.zeros((3, 3), int)
    for truth, predicted, count in matrix["cells"]:
        rebuilt[truth, predicted] = count
    np.testing.assert_array_equal(rebuilt, np.sum([cell.confusion for cell in report.metrics.cells], axis=0))
    assert (matrix["counts"], matrix["unit"]) == ([12, 12, 12], "answers")


def test_every_number_of_the_heat_map_is_text() -> None:
    report = make_repeated()
    html = page.html(report)
    shades = re.findall(r'style="--shade: (\d+)%">([\d.]+)<', html)
    scores = [100 * cell.top1 for cell in report.metrics.cells]
    assert [value for _, value in shades] == [f"{score:.1f}" for score in scores]
    low, high = min(scores), max(scores)
    assert [int(shade) for shade, _ in shades] == [round(100 * (s - low) / (high - low)) for s in scores]


def test_equal_cells_have_no_colour() -> None:
    cells = judged(seeds=2, folds=2)
    for cell in cells:
        cell.probabilities[:] = np.eye(3)[cell.labels]
    html = page.html(make_repeated(cells=cells))
    assert set(re.findall(r"--shade: (\d+)%", html)) == {"0"}
    parsed = Page(html)
    assert "No image was ever put in a wrong class." in parsed.text
    assert parsed.text.count("no interval: ") == 3


def test_one_cell_says_why_intervals_are_missing() -> None:
    report = make_repeated(cells=judged(seeds=1, folds=1, per_class=9))
    for text in (Page(page.html(report)).text, page.summary(report)):
        assert "one training says nothing of how another would differ" in text
        assert "one seed says nothing" in text
        assert "stratified bootstrap" in text
    assert "trained 1 time (1 seed)" in Page(page.html(report)).text


def test_seeds_on_one_test_split_have_no_folds() -> None:
    text = Page(page.html(make_repeated(cells=judged(seeds=3, folds=1)))).text
    assert "trained 3 times (3 seeds)" in text
    assert "fold 0" not in text
    assert "Student’s t-interval" in text


def test_cells_without_epochs_have_no_training_section() -> None:
    for histories in ((), ((),) * 6):
        parsed = Page(page.html(make_repeated(histories=histories)))
        assert "chart-data" not in parsed.islands
        assert not any(a.get("id") == "training" for _, a in parsed.tags)
        for link in parsed.having("a"):
            assert any(f"#{a.get('id')}" == link["href"] for _, a in parsed.tags)


def test_the_charts_hold_the_mean_before_every_cell() -> None:
    parsed = Page(page.html(make_repeated()))
    charts = parsed.islands["chart-data"]
    assert isinstance(charts, list)
    # Top-1 of epoch 0 is 50, 49 ... 45 % in the six cells; three of them end an epoch earlier.
    assert charts[1]["readings"][0].startswith("epoch 0: val. top-1 47.5,")
    assert charts[0]["readings"][4] == "epoch 4: train –, validation –"
    faint = [a for t, a in parsed.tags if t == "path" and "faint" in str(a["class"]).split()]
    assert len(faint) == 6 * 5
    assert "epoch 3: train 0.5, validation 0.625" in parsed.text


@pytest.mark.parametrize("classes", [2, 5, 200])
def test_any_number_of_classes(classes: int) -> None:
    parsed = Page(page.html(make_repeated([f"class {i}" for i in range(classes)])))
    assert ("top-5 accuracy" in parsed.text) == (classes > 5)
    assert len([a for a in parsed.having("th", scope="row") if "data-key" in a]) == classes
    assert f"{classes} of {classes}" in parsed.text
    assert parsed.having("input", **{"data-filters": "class-table"})


def test_a_class_that_was_never_judged_has_no_recall() -> None:
    parsed = Page(page.html(make_repeated(["a", "b", "c"], cells=_without_the_last_class())))
    assert [a["data-key"] for a in parsed.having("th", scope="row") if "data-key" in a][-1] == "2"
    assert "c 0 – " in parsed.text
    assert "\n| c |" not in page.summary(make_repeated(["a", "b", "c"], cells=_without_the_last_class()))


def _without_the_last_class() -> tuple[Judged, ...]:
    cells = judged(3, seeds=2, folds=2)
    for cell in cells:
        cell.labels[cell.labels == 2] = 1
    return cells


def test_markdown_tables_have_one_width_each() -> None:
    text = page.summary(make_repeated(HOSTILE, name="# <b>", weights="a|b", protocol=("<i>|",)))
    assert text.startswith("# \\# \\<b\\>\n")
    assert "<script" not in text.replace("\\<", "")
    tables = 0
    for block in text.split("\n\n"):
        rows = [row for row in block.splitlines() if row.startswith("|")]
        tables += bool(rows)
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in rows}) <= 1
    assert tables == 5
    text.encode("utf-8")


def test_intervals_keep_to_what_is_possible() -> None:
    report = make_repeated()  # few images: the t-interval of the AUROC, too, goes beyond 1
    assert report.metrics.auroc is not None
    low, high = report.metrics.auroc.of_training or (0, 0)
    assert high > 1
    assert f"{low:.4f}–1.0000" in Page(page.html(report)).text
    assert f"{low:.4f}–1.0000 |" in page.summary(report)
