"""The report of an ensemble: what the pages and the files say."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
from ensemble_sample import LABELS, make_ensemble
from parsed_page import HOSTILE, Page, asks_for_nothing

from finegrain.metrics.ensembles import Diversity, Gain
from finegrain.report.ensemble_page import heat_maps, html, summary


def shown(text: str) -> str:
    return text.replace("\N{NBSP}", " ")


def test_the_pages_tell_the_numbers():
    report = make_ensemble()
    chosen, shares = report.chosen.test, report.diversity
    low, high = chosen.top1_interval
    for text in (shown(Page(html(report)).text), shown(summary(report)).replace("\\", "")):
        for expected in (
            f"{100 * chosen.top1:.1f} %", f"{100 * low:.1f}–{100 * high:.1f}", "run-2", "average of logits", "soup",
            f"{100 * report.members[1].test.top1:.1f} %", f"{report.members[1].test.loss:.3f}",
            f"{100 * report.members[1].test.ece:.1f} %", f"{100 * report.mean_top1:.1f} %",
            f"{100 * report.gain.difference:+.2f} points against the mean member",
            f"{100 * shares.missed_by_all:.1f} % of the images are missed by all, of {100 * shares.error:.1f} %",
            "The soup is made of run-0, run-2", "The dataset names no groups.",
        ):  # fmt: skip
            assert expected in text, expected


def test_no_box_hides_what_was_averaged():
    """The table's last rows are the result: it is never scrolled."""
    page = html(make_ensemble())
    assert page.index("#members .scroll { max-height: none; }") > page.index(".scroll { max-height: 34rem;")


@pytest.mark.parametrize(
    ("gain", "sentence"),
    [
        (
            Gain(difference=0.02, interval=(0.01, 0.03)),
            "Averaging pays: +2.00 points against the mean member (+1",
        ),
        (Gain(difference=0.02, interval=(-0.01, 0.05)), "No evidence that averaging pays: +2.00 points"),
        (Gain(difference=-0.02, interval=(-0.03, -0.01)), "Averaging costs: -2.00 points"),
        (Gain(difference=0.0, interval=None), "Nothing can be said of the gain: +0.00 points"),
    ],
)
def test_the_verdict_needs_the_interval(gain: Gain, sentence: str):
    assert make_ensemble(gain=gain).verdict().startswith(sentence)


def test_errors_in_common_are_told():
    differ = np.array([[0, 0.1], [0.1, 0]])

    def why(all_miss: float, error: float = 0.4) -> str:
        fault = np.array([[error, all_miss], [all_miss, error]])
        return make_ensemble(
            size=2, diversity=Diversity(disagreement=differ, double_fault=fault, missed_by_all=all_miss)
        ).why()

    assert why(0.3).startswith("The members err together: 30.0\N{NBSP}% of the images are missed by all, of 40.0")
    for shared in (0.1, 0.25):
        assert why(shared).startswith("The members err in part on different images: ")
    assert "Two members answer 10.0\N{NBSP}% of the 60 images differently." in why(0.1)
    assert why(0.0, error=0.0) == "No member makes a mistake: there is nothing to gain."


@pytest.mark.parametrize(("size", "written"), [(2, True), (3, True), (13, False)])
def test_a_heat_map_has_a_cell_for_every_pair(size: int, written: bool):
    report = make_ensemble(size=size)
    differ, both = heat_maps(report)
    for chart, shares in ((differ, report.diversity.disagreement), (both, report.diversity.double_fault)):
        assert len(chart.cells) == size * size
        assert max(strength for _, _, strength, _, _ in chart.cells) == 1
        for number, (x, y, strength, label, words) in enumerate(chart.cells):
            share = shares[number // size, number % size]
            assert strength == pytest.approx(share / shares.max())
            assert (label == f"{100 * share:.1f}") is written
            assert f"members {number // size + 1} and {number % size + 1} " in words
            assert 0 < x <= chart.side - chart.step + 1e-9
            assert 0 < y <= chart.side - chart.step + 1e-9


def test_a_second_look_is_told():
    assert "looked at 3 times" in Page(html(make_ensemble(test_evaluations=3))).text
    assert "was looked at 3 times for it" in summary(make_ensemble(test_evaluations=3))


def test_without_a_soup_the_reason_stands_there():
    report = make_ensemble(soup=None, soup_words="No soup: the members differ.")
    assert "No soup: the members differ." in Page(html(report)).text
    assert report.headline().endswith("No soup: the members differ.")


def test_the_page_asks_for_nothing_and_runs_no_name():
    asks_for_nothing(html(make_ensemble()))
    plain = Page(html(make_ensemble(size=len(HOSTILE))))
    text = html(make_ensemble(size=len(HOSTILE), names=HOSTILE, name=HOSTILE[0], soup_words=HOSTILE[2], notes=HOSTILE))
    hostile = Page(text)
    assert len(hostile.having("script")) == len(plain.having("script"))
    assert len(hostile.having("img")) == 0
    assert "\x1b" not in text
    text.encode("utf-8")


def test_the_files_hold_the_same_numbers(tmp_path: Path):
    report = make_ensemble()
    assert report.write(tmp_path) == tmp_path / "ensemble.html"
    found = json.loads((tmp_path / "metrics.json").read_text())
    assert found["averages"]["probabilities"]["test"]["top1"] == report.chosen.test.top1
    assert found["members"][0]["val"] is None
    assert found["members"][1]["val"]["top1"] == report.members[1].test.top1
    assert found["disagreement"] == report.diversity.disagreement.tolist()
    assert found["gain"]["interval"] == list(report.gain.interval)
    with (tmp_path / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    right = sum(row["label"] == row["class_1"] for row in rows)
    assert right / len(LABELS) == pytest.approx(report.chosen.test.top1)


def test_the_headline_is_safe_and_has_an_interval():
    line = make_ensemble(name="a\n\x1b[0mb").headline().splitlines()[0]
    assert re.fullmatch(
        r"a\\n\\x1b\[0mb: average of probabilities of 3 members: test top-1 [\d.]+\s% \([\d.]+–[\d.]+, n = 60\)", line
    )
