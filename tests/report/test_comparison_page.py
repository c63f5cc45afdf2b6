"""The page of a comparison: figures, cost, verdicts and protocols, and names that are only ever text."""

from dataclasses import replace
from pathlib import Path

import pytest
from comparison_sample import make_comparison, make_setting, scores
from parsed_page import HOSTILE, Page, asks_for_nothing

from finegrain.report.comparison_page import html


def shown(*arguments: object, **changes: object) -> str:
    return Page(html(make_comparison(*arguments, **changes))).text.replace("\N{NBSP}", " ")


def test_every_setting_has_a_row_of_figures_and_costs():
    report, text = make_comparison(), shown()
    for number, setting in enumerate(report.settings):
        low, high = (f"{100 * end:.1f}" for end in setting.interval)
        row = (
            f"{number + 1} {setting.name} {100 * scores(number).mean():.1f} % ± {100 * setting.top1.sd:.1f} "
            f"{low}–{high} {100 * setting.macro_f1.mean:.1f} % ± {100 * setting.macro_f1.sd:.1f} "
            f"{setting.auroc.mean:.4f} ± {setting.auroc.sd:.4f} {102_600 * (number + 1):,} 1 min 02 s 1.50 GiB 1,234"
        )
        assert row in text, row
    assert "for other seeds and images." in text
    assert text.count("val chose the epoch.") == 3


def test_every_later_setting_is_judged_against_the_first():
    report, text = make_comparison(), shown()
    for number, comparison in enumerate(report.comparisons, start=2):
        low, high = (f"{100 * end:+.2f}" for end in comparison.interval)
        row = (
            f"{number} {report.settings[number - 1].name} better {100 * comparison.difference:+.2f} {low} to {high} "
            f"{comparison.adjusted_p:.2g} {100 * comparison.smallest:.2f}"
        )
        assert row in text, row
    for expected in (
        "p (Holm)",
        "p values of the 2 comparisons are adjusted",
        "by Holm's strictest step (p ≤ 0.05/2)",
        "Nadeau & Bengio",
        "heuristic",
    ):
        assert expected in text, expected


def test_it_shows_where_the_recipes_differ():
    first, second, third = (make_setting(at) for at in range(3))
    recipes = ({"seed": "0", "optim": "SGD", "optim.lr": "0.1"}, {"seed": "0", "optim": "AdamW", "optim.lr": "<b>"}, {})
    settings = [replace(one, recipe=recipe) for one, recipe in zip((first, second, third), recipes, strict=True)]
    report = replace(make_comparison(3), settings=tuple(settings))
    text = Page(html(report)).text
    assert "key no. 1 no. 2 no. 3 optim SGD AdamW – optim.lr 0.1 <b> – Every" in text
    assert "No config.py as a run writes it tells the recipe of no. 3." in text
    alike = replace(report, settings=(settings[0], settings[0], third))
    assert "The recipes say the same." in Page(html(alike)).text
    unknown = Page(html(replace(report, settings=(settings[0], third, third)))).text
    assert "What differs No config.py as a run writes it tells the recipe of no. 2, 3." in unknown


def test_a_single_comparison_is_no_family():
    text = shown(2)
    assert "Holm" not in text
    assert "The second is set against the first" in text


def test_what_is_not_known_is_left_open():
    empty = dict.fromkeys(("macro_f1", "auroc", "trainable", "seconds", "peak_memory_bytes", "images_per_second"))
    text = shown(2, interval=None, **empty)
    assert "– – – – – – – 2 " in text
    assert "Nothing shows how sure the mean top-1 is. The wall" in text


def test_the_chart_has_a_strip_for_each_setting_and_a_dot_for_each_training():
    page = Page(html(make_comparison(4)))
    assert len(page.having("circle", **{"class": "cell"})) == 40
    assert len(page.having("line", **{"class": "mean"})) == len(page.having("rect", **{"class": "box"})) == 4
    assert "by number of the setting" in page.text
    assert "A dot is a training" in page.text


@pytest.mark.parametrize("size", [2, 7])
def test_the_page_asks_for_nothing_and_runs_no_name(size: int):
    plain, names = html(make_comparison(size)), HOSTILE[:size]
    asks_for_nothing(plain)
    hostile = html(make_comparison(size, names, HOSTILE, protocol=HOSTILE, interval_of=HOSTILE[0]))
    assert len(Page(hostile).having("script")) == len(Page(plain).having("script"))
    assert len(Page(hostile).having("img")) == 0
    assert "\x1b" not in hostile
    hostile.encode("utf-8")


def test_what_to_know_before_trusting_is_told_on_the_page_and_in_the_terminal():
    note = "No metrics.json tells how b was trained."
    assert note in shown(notes=(note,))
    assert make_comparison(notes=(note,)).headline().splitlines()[-1] == note
    assert "Before trusting" not in shown()


def test_the_page_is_written_and_the_headline_is_one_line_a_fact(tmp_path: Path):
    report = make_comparison(2, ("two\nlines", "b"))
    assert report.write(tmp_path).read_text(encoding="utf-8") == html(report)
    assert report.headline().splitlines()[0].startswith("two\\nlines: top-1 8")
