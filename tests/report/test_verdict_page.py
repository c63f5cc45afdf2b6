"""The page of a verdict: the verdict first, with interval, seeds and images; then what it rests on."""

import json
import re
from pathlib import Path

import pytest
from parsed_page import HOSTILE, Page, asks_for_nothing
from verdict_sample import ACCURACY, class_row, make_verdict

from finegrain.report.verdict import VerdictReport
from finegrain.report.verdict_chart import DRAWN, forest


def text_of(report: VerdictReport, folder: Path) -> str:
    return Page(report.write(folder).read_text(encoding="utf-8")).text.replace("\N{NBSP}", " ")


@pytest.mark.parametrize(
    ("changes", "verdict", "reason"),
    [
        ({}, "helps", "than with the same images under shuffled labels."),
        ({"shuffled": 0.84}, "no evidence", "The gain survives shuffled labels"),
        ({"synthetic": 0.80}, "no evidence", "holds 0."),
        ({"synthetic": 0.75}, "hurts", "is worse with the generated images"),
    ],
)
def test_the_verdict_comes_first_with_what_it_rests_on(
    changes: dict[str, float], verdict: str, reason: str, tmp_path: Path
) -> None:
    report = make_verdict({**ACCURACY, **changes})  # type: ignore[arg-type]
    low, high = (f"{100 * end:+.2f}" for end in report.main.interval or ())
    measured = (
        f"changes by {100 * report.main.difference:+.2f} points against real images alone (95 % interval {low} to"
    )
    for text in (report.headline().replace("\N{NBSP}", " "), text_of(report, tmp_path)):
        assert text.index(verdict) < text.index("top-1 changes by")
        assert f"{measured} {high}; 5 paired seeds, n = 600 test images)" in text
        assert reason in text
        assert "as 30 % of the images trained on" in text
    assert json.loads((tmp_path / "verdict.json").read_text())["verdict"] == verdict


def test_every_arm_has_its_figures_and_differences(tmp_path: Path) -> None:
    report = make_verdict()
    text = text_of(report, tmp_path)
    row = report.of("synthetic")
    real, twice = (report.benefit.differences["synthetic", other] for other in ("real", "duplicated"))
    spans = [
        f"{100 * c.difference:+.2f} ({100 * c.interval[0]:+.2f} to {100 * c.interval[1]:+.2f})"
        for c in (real, twice)
        if c.interval
    ]
    figures = f"1,429 429 420 lr 0.003 80.0 % {100 * row.top1.mean:.1f} % ± {100 * (row.top1.sd or 0):.1f}"
    assert f"real + generated {figures} {' '.join(spans)}" in text
    assert "real 1,000 0 420" in text
    assert "of real + generated: 30 %: 81.0 %, 50 %: 79.0 %." in text
    assert "The test split was opened for all arms at once, after val had chosen; this was the first time" in text
    assert "this was time 2 in this directory" in text_of(make_verdict(test_evaluations=2), tmp_path)
    alone = make_verdict(candidates={0.3: 0.81})
    assert "shares tried" not in text_of(alone, tmp_path)


def test_every_class_is_shown_and_single_ones_are_not_believed(tmp_path: Path) -> None:
    text = text_of(make_verdict(), tmp_path)
    assert "auk 27 137 200 – 25.0 % 0.91 1.0 % – 150 -1.25" in text
    assert "dunlin 30 137 200" in text
    assert "of single classes it is not significant" in text
    unknown = class_row("egret", 0, asked=None, passed=0.5, change=None, fidelity=None, diversity=None, copies=None)
    assert "egret 27 137 – 50.0 % – – – – 150 –" in text_of(make_verdict(classes=(unknown,)), tmp_path)


def test_verdict_json_holds_the_numbers_of_the_page(tmp_path: Path) -> None:
    report = make_verdict()
    report.write(tmp_path)
    content = json.loads((tmp_path / "verdict.json").read_text())
    found = next(row for row in content["differences"] if (row["arm"], row["against"]) == ("synthetic", "shuffled"))
    assert found["interval"] == pytest.approx(report.benefit.differences["synthetic", "shuffled"].interval)
    assert found["by_seed"] == pytest.approx(report.paired("synthetic", "shuffled"))
    assert sum(found["by_seed"]) / 5 == pytest.approx(found["difference"])
    assert content["candidates"][1] == {"fraction": 0.5, "val_top1": 0.79}
    assert [row["arm"] for row in content["arms"]] == ["real", "duplicated", "synthetic", "shuffled", "synthetic only"]
    assert content["origin"]["version"] == "ab" * 32


def test_the_chart_has_a_row_a_difference_in_proportion_to_the_points() -> None:
    report = make_verdict()
    chart = forest(report)
    assert len(chart.rows) == len(DRAWN)
    per_point = {
        round((row.mean_x - chart.zero) / (100 * report.benefit.differences[pair].difference), 6)
        for row, (pair, _) in zip(chart.rows, DRAWN, strict=True)
    }
    assert len(per_point) == 1
    assert per_point.pop() > 0
    for row in chart.rows:
        assert len(row.dots) == 5
        assert row.ends is not None
        assert chart.frame["left"] <= row.ends[0] < row.mean_x < row.ends[1] <= chart.frame["right"]
    assert [row.decides for row in chart.rows] == [True, True, True, False, False]


def test_arms_that_never_differ_are_drawn_without_interval(tmp_path: Path) -> None:
    report = make_verdict(dict.fromkeys(ACCURACY, 2.0))
    assert all(row.ends is None for row in forest(report).rows)
    assert "no interval, as nothing varies" in text_of(report, tmp_path)


def test_the_title_names_the_folder_alone(tmp_path: Path) -> None:
    report = make_verdict(version="/data/gen/A", name="birds")
    assert "<h1>Does A help birds?</h1>" in report.write(tmp_path).read_text(encoding="utf-8")
    assert json.loads((tmp_path / "verdict.json").read_text())["version"] == "/data/gen/A"


def test_names_are_only_ever_text(tmp_path: Path) -> None:
    for name in HOSTILE:
        report = make_verdict(
            name=name, version=name, classes=(class_row(name, 0),), notes=(name,), protocol=(name,),
            origin={name: name}, environment={name: name}, recipe_source=name,
        )  # fmt: skip
        page = report.write(tmp_path).read_text(encoding="utf-8")
        asks_for_nothing(page)
        assert "<script>alert" not in page
        assert not re.search("[\x1b\udcff]", report.headline())
        json.loads((tmp_path / "verdict.json").read_text())
