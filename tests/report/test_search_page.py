"""The report of a search: what the page and the table say, and where the dots lie."""

import csv
from pathlib import Path

import pytest
from parsed_page import HOSTILE, Page, asks_for_nothing
from search_sample import TRIALS, VARIED, final, make_search, trial

from finegrain.report.chart import BOTTOM, HEIGHT, LEFT, TOP, WIDTH
from finegrain.report.search_page import html, scatters


def shown(**changes: object) -> str:
    return Page(html(make_search(**changes))).text.replace("\N{NBSP}", " ")


def test_the_page_tells_the_numbers():
    text = shown()
    for expected in (
        "5 trials of augment.preset, optim.lr, train.epochs; trial 1 did best", "90.0 %", "The best of 5 figures",
        "augment.preset=strong optim.lr=0.0123456789 train.epochs=3", "85.3 %", "84.0–86.5, n = 2,903",
        "looked at once", "best-1/report.html", "0.457",
        "2,699 images", "51,300 of 11,689,512", "3 min 12 s, cpu <b>",
        "0.01235", "below the median", "75 %", "1e-05 to 0.1, log-uniform", "return Recipe(a < b)",
        "The trials were trained on 12 images.", "2.15.0", "the loss is not finite <b>",
    ):  # fmt: skip
        assert expected in text, expected


def test_what_is_not_known_is_not_said():
    text = shown(test=None, importances={})
    assert "is not finished" in text
    assert "test top-1" not in text
    assert "fANOVA" not in text


def test_a_second_look_at_test_is_told():
    assert "looked at 3 times in this folder" in shown(test=final(looks=3))


def test_a_search_by_loss_has_no_per_cent():
    text = shown(monitor="loss")
    assert "validation loss of trial 1" in text
    assert "0.900" in text
    assert "90.0 %" not in text


def test_the_page_asks_for_nothing_and_runs_no_name():
    asks_for_nothing(html(make_search()))
    for name in HOSTILE:
        trials = (TRIALS[1], trial(0, 0.5, stopped=name))
        text = html(make_search(name=name, setting=(name,), protocol=(name,), trials=trials))
        Page(text)
        assert "<script>alert" not in text
        assert "onerror=alert(1)>" not in text


def test_a_dot_lies_at_its_figure_and_at_its_value():
    order, preset, rate, epochs = scatters(make_search())
    assert [chart.title for chart in (order, preset, rate, epochs)] == ["trial", *(varied.key for varied in VARIED)]
    assert len(order.dots) == 4  # one has no figure
    heights = {label.split(":")[0]: y for _, y, _, label in order.dots}
    assert heights["trial 1"] < heights["trial 4"] < heights["trial 0"] < heights["trial 2"]
    ticks = {label: y for y, label in order.y_ticks}
    assert heights["trial 0"] == pytest.approx(ticks["80"])
    assert heights["trial 2"] == pytest.approx(ticks["70"])  # not at 1 %: that would press the others together
    assert [kind for _, _, kind, _ in order.dots] == ["done", "chosen", "stopped", "done"]
    assert len({x for x, *_ in preset.dots}) == 2
    decades = {label: x for x, label in rate.x_ticks}
    assert decades.keys() == {"1e-05", "0.0001", "0.001", "0.01", "0.1"}
    assert rate.dots[0][0] == pytest.approx(decades["0.001"])
    assert decades["0.01"] - decades["0.001"] == pytest.approx(decades["0.1"] - decades["0.01"])
    numbers = {label: x for x, label in epochs.x_ticks}
    assert epochs.dots[0][0] == pytest.approx(numbers["2"])


@pytest.mark.parametrize("trials", [TRIALS, TRIALS[:1], (TRIALS[1], TRIALS[2]), (TRIALS[0], trial(1, 0.8))])
def test_every_dot_lies_within_the_frame(trials: tuple):
    for chart in scatters(make_search(trials=trials)):
        assert chart.x_ticks
        for x, y, *_ in chart.dots:
            assert LEFT <= x <= WIDTH
            assert TOP <= y <= HEIGHT - BOTTOM


def test_the_table_holds_every_digit_and_no_formula(tmp_path: Path):
    report = make_search(trials=(*TRIALS, trial(5, None, preset="weak", stopped="=cmd()")))
    assert report.write(tmp_path) == tmp_path / "report.html"
    with (tmp_path / "trials.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[1] == {
        "trial": "1", "augment.preset": "strong", "optim.lr": "0.0123456789", "train.epochs": "3",
        "val_top1": "0.9", "val_loss": str(1 - 0.9), "kept_epoch": "1", "epochs": "2", "seconds": "1.2", "stopped": "",
    }  # fmt: skip
    assert (rows[3]["val_top1"], rows[3]["kept_epoch"]) == ("", "")
    assert rows[5]["stopped"] == "'=cmd()"
