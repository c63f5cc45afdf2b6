"""The report of a learning curve: what was measured, and what was not and is said not to be."""

import dataclasses
import itertools
import json
from pathlib import Path

import pytest
from learning_curve_sample import LAW, make_curve
from parsed_page import HOSTILE, Page, asks_for_nothing

from finegrain.report.chart import BOTTOM, HEIGHT, LEFT, TOP, WIDTH
from finegrain.report.learning_curve import RESULTS, result_row
from finegrain.report.learning_curve_chart import curve_chart
from finegrain.report.learning_curve_page import html


def shown(**changes: object) -> str:
    return Page(html(make_curve(**changes))).text.replace("\N{NBSP}", " ")


def test_the_page_tells_the_numbers():
    report, text = make_curve(), shown()
    for point in report.points:
        assert f"{100 * point.top1:.1f} %" in text
        assert f"{100 * point.interval[0]:.1f}–{100 * point.interval[1]:.1f}" in text
    for expected in (
        "Given 2 to 16 images of each of 2 classes, val’s among them, and judged on 200 others.",
        "mean top-1 with 16 images of each class, 15 of them to train on, the others val’s",
        "for other seeds and images",
        "Smaller numbers lie within larger ones.", "The dataset names no groups.", "return Recipe(a < b)", "2.15.0",
    ):  # fmt: skip
        assert expected in text, expected


def test_what_lies_ahead_is_said_not_to_be_measured():
    report, text = make_curve(), shown()
    near, far = report.ahead()
    assert [(near.per_class, near.trained), (far.per_class, far.trained)] == [(32, 30), (64, 60)]
    assert far.top1 == pytest.approx(LAW.at([60])[0], abs=0.02)
    for value in (near, far):
        low, high = value.interval
        assert low <= value.top1 <= high
        expected = (
            f"{100 * value.top1:.1f} % ({100 * low:.1f}–{100 * high:.1f}) with {value.per_class} images of each class"
        )
        assert f"{expected}: extrapolated, not measured" in text
    lines = report.headline().replace("\N{NBSP}", " ").splitlines()
    assert sum("extrapolated, not measured" in line for line in lines) == 2
    assert "Fitted: top-1 = 0.9" in text


@pytest.mark.parametrize(
    ("counts", "reason"),
    [((2, 4, 8), "fewer than 4 numbers of images"), ((2, 4, 8, 16), "do not rise as one")],
)
def test_without_a_fit_nothing_is_extrapolated(counts: tuple[int, ...], reason: str):
    report = make_curve(counts, fit=None)
    text = Page(html(report)).text
    assert reason in text
    assert "not measured" not in report.headline() + Page(html(report)).text
    assert curve_chart(report).fitted == curve_chart(report).extrapolated == curve_chart(report).band == ""
    assert report.ahead() == ()


def test_one_seed_has_no_interval_of_training():
    report = make_curve(seeds=1)
    assert report.fit is not None
    assert curve_chart(report).band == ""
    assert "Its uncertainty is unknown" in report.law()
    assert all(value.interval is None for value in report.ahead())
    assert "says nothing of another training" in Page(html(report)).text


def test_a_law_that_the_end_of_the_scale_stops_does_not_tell_where_it_levels_off():
    report = make_curve()
    law = dataclasses.replace(report.fit.law, a=1.0)
    stopped = dataclasses.replace(report, fit=dataclasses.replace(report.fit, law=law))
    assert "Where it levels off" in stopped.law()
    assert "Where it levels off" not in report.law()


def test_the_points_lie_at_their_numbers_on_a_logarithmic_axis():
    report = make_curve((2, 3, 5, 9, 17))
    chart = curve_chart(report)
    steps = [after.x - before.x for before, after in itertools.pairwise(chart.marks)]
    assert steps == pytest.approx([steps[0]] * 4)  # 1, 2, 4, 8 and 16 to train on
    assert chart.measured_x == chart.marks[-1].x
    heights = {label: y for y, label in chart.y_ticks}
    low, high = min(heights, key=float), max(heights, key=float)
    scale = (heights[high] - heights[low]) / (float(high) - float(low))
    for mark, point in zip(chart.marks, report.points, strict=True):
        assert mark.y == pytest.approx(heights[low] + scale * (100 * point.top1 - float(low)))
        assert LEFT < mark.x < WIDTH
        assert TOP <= mark.ends[0] < mark.y < mark.ends[1] <= HEIGHT - BOTTOM
    assert chart.extrapolated.startswith(chart.fitted[chart.fitted.rindex("L") :].replace("L", "M"))


def test_labels_below_do_not_overlap():
    report = make_curve((9, 10, 11, 12, 40))
    places = [x for x, _ in curve_chart(report).x_ticks]
    assert all(after - before > 20 for before, after in itertools.pairwise(places))


def test_the_page_asks_for_nothing_and_runs_no_name():
    asks_for_nothing(html(make_curve()))
    text = html(make_curve(name=HOSTILE[0], protocol=HOSTILE, notes=HOSTILE, environment={n: n for n in HOSTILE}))
    assert len(Page(text).having("script")) == len(Page(html(make_curve())).having("script"))
    assert len(Page(text).having("img")) == 0
    assert "\x1b" not in text


def test_the_files_hold_the_same_numbers(tmp_path: Path):
    report = make_curve()
    assert report.write(tmp_path) == tmp_path / "learning_curve.html"
    second = report.points[1]
    row = dict(zip(RESULTS, result_row(4, second.judged[0], hashes=second.hashes[0]), strict=True))
    assert row["per_class"] == 4
    assert row["top1"] == second.judged[0].hits.mean()
    assert row["val_sha256"] == "v0" * 32
    found = json.loads((tmp_path / "metrics.json").read_text())
    assert found["measured"][0]["top1"] == report.points[0].top1
    assert found["measured"][0]["interval_of"] == "seeds and images"
    assert found["extrapolated"][1]["per_class"] == 64
    assert found["fitted"]["a"] == report.fit.law.a
    assert (tmp_path / "learning_curve.png").read_bytes().startswith(b"\x89PNG")
