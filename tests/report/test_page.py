import re
from dataclasses import replace

import numpy as np
import pytest
from parsed_page import HOSTILE, Page, asks_for_nothing
from report_sample import history, make_report

from finegrain.metrics.classification import evaluate_predictions
from finegrain.report import page
from finegrain.report.confidence_words import promises
from finegrain.report.record import ErrorAnalysis


def test_the_page_tells_the_numbers() -> None:
    text = Page(page.html(make_report())).text
    for expected in (
        "88.9 %", "56.5–98.0 %", "102,600", "11,279,112", "1 min 02 s", "1.50 GiB", "2.15.0", "t" * 64, "truncated",
        "The dataset names no groups.", "return Recipe(a < b)", "taken for robin",
    ):  # fmt: skip
        assert expected in text


def test_the_page_tells_what_confidence_is_worth() -> None:
    report = make_report()
    assert report.confidence is not None
    before, after = report.confidence.test.before, report.confidence.test.after
    for text in (Page(page.html(report)).text, page.summary(report).replace(" |", "")):
        assert "Can its confidence be believed?" in text
        assert "60 images of validation" in text
        assert f"{100 * before.ece:.1f} % {100 * after.ece:.1f} %" in text.replace("\N{NBSP}", " ").replace("| ", "")
        assert f"{before.brier:.3f} {after.brier:.3f}" in text.replace("| ", "")
        for heading, sentence in promises(report.confidence):
            assert heading in text
            assert sentence.replace("\N{NBSP}", " ") in text.replace("\N{NBSP}", " ")
    svgs = Page(page.html(report)).having("svg", role="img")
    assert sum("confidence, %" in str(svg["aria-label"]) for svg in svgs) == 2


def test_a_mistake_is_told_with_what_it_was_compared_with() -> None:
    report = make_report()
    parsed = Page(page.html(report))
    found = report.errors.mistakes[0].mistake
    assert f"wren {100 * found.label_probability:.1f} % taken for robin {100 * found.probability:.1f} %" in parsed.text
    assert "0.88" in parsed.text  # the cosine
    assert parsed.having("div", title=f"train/{found.path}, the most similar of 27")
    assert parsed.having("img", alt="Most similar image of wren")
    assert "nothing to compare" in parsed.text  # of robin


def test_a_map_stands_beside_each_mistake_and_is_explained() -> None:
    parsed = Page(page.html(make_report()))
    assert len(parsed.having("img", alt="Heat where it speaks for robin rather than wren")) == 1
    assert len(parsed.having("div", **{"class": "pictures with-heat"})) == 1
    assert "the plain view, and hot where something speaks for the class it was taken for" in parsed.text
    assert "averages over more views" not in parsed.text
    assert "the map is of the plain one alone" in Page(page.html(make_report(views="flip"))).text


@pytest.mark.parametrize("why", HOSTILE)
def test_where_there_are_no_maps_the_page_says_why(why: str) -> None:
    errors = make_report().errors
    bare = [replace(one, heat=None) for one in errors.mistakes]
    text = page.html(make_report(errors=replace(errors, mistakes=bare, unexplained=f"cannot be explained {why}")))
    parsed = Page(text)
    assert "No map shows what in an image speaks for the class it was taken for: cannot be explained" in parsed.text
    assert not {"\x1b", "\udcff"} & set(text)
    assert not [a for t, a in parsed.tags if t == "img" and str(a["alt"]).startswith("Heat")]
    assert "Beside each test image stand" in parsed.text
    assert parsed.having("img", alt="Most similar image of wren")


def test_a_confused_pair_has_its_count_and_interval() -> None:
    """One of three: Wilson's interval is 6.1 to 79.2 %."""
    report = make_report()
    assert "wren taken for robin 1 of 3 6–79 %" in Page(page.html(report)).text
    assert "| wren | robin | 1 of 3 | 33\N{NBSP}% | 6–79 |" in page.summary(report)


def test_hardest_images_are_shown_with_the_probability_of_their_class() -> None:
    report = make_report()
    parsed = Page(page.html(report))
    ends = report.errors.extremes[0]
    said = report.predictions.probabilities[ends.hardest[0]]
    title = f"{report.predictions.paths[ends.hardest[0]]}, taken for robin"
    assert report.class_names[ends.label] == "wren"
    assert parsed.having("figure", title=title)
    assert f"{100 * said[ends.label]:.1f} %" in parsed.text
    assert parsed.having("figure", title=report.predictions.paths[ends.easiest[0]])
    assert "of 2 classes" in parsed.text
    assert "4 images, with the probability" in parsed.text


def test_the_map_has_a_dot_for_every_reading() -> None:
    parsed = Page(page.html(make_report()))
    island = parsed.islands["map-data"]
    assert isinstance(island, dict)
    drawn = [a for t, a in parsed.tags if t == "circle" and a.get("class") in ("right", "wrong")]
    assert len(drawn) == len(island["readings"]) == 9
    assert [reading[1] == reading[2] for reading in island["readings"]] == [a["class"] == "right" for a in drawn]
    assert "drawn by lot" not in parsed.text
    assert "how far groups lie apart" in parsed.text


def test_the_page_asks_for_nothing_from_anywhere() -> None:
    asks_for_nothing(page.html(make_report()))


def test_hostile_class_names_are_only_ever_text() -> None:
    paths = [f"{HOSTILE[i // 3]}/{i}.jpg" for i in range(3 * len(HOSTILE))]
    plain = Page(page.html(make_report([f"c{i}" for i in range(len(HOSTILE))])))
    html = page.html(make_report(HOSTILE, paths=paths, name=HOSTILE[0], dropped=[(p, HOSTILE[2]) for p in HOSTILE]))
    hostile = Page(html)
    assert len(hostile.having("script")) == len(plain.having("script"))
    assert len(hostile.having("img")) == len(plain.having("img"))
    assert not any(name.startswith("on") for _, attributes in hostile.tags for name in attributes)
    matrix = hostile.islands["matrix-data"]
    assert isinstance(matrix, dict)
    assert matrix["names"][0] == HOSTILE[0]
    assert "\x1b" not in html
    assert "{{ 7 * 7 }}" in hostile.text
    html.encode("utf-8")


def test_islands_hold_the_matrix_and_the_curves() -> None:
    report = make_report()
    islands = Page(page.html(report)).islands
    matrix, charts = islands["matrix-data"], islands["chart-data"]
    assert isinstance(matrix, dict)
    assert isinstance(charts, list)
    rebuilt = np.zeros((3, 3), int)
    for truth, predicted, count in matrix["cells"]:
        rebuilt[truth, predicted] = count
    np.testing.assert_array_equal(rebuilt, report.test.confusion)
    assert charts[0]["readings"][1] == "epoch 1: train 1, validation 1.25"
    assert [len(chart["x"]) for chart in charts] == [5, 5, 5]


def test_the_class_table_sorts_by_button() -> None:
    parsed = Page(page.html(make_report()))
    assert len(parsed.having("th", **{"aria-sort": "ascending"})) == 1
    keys = [a["data-key"] for a in parsed.having("th", scope="row") if "data-key" in a]
    assert sorted(str(key) for key in keys) == ["0", "1", "2"]
    assert not any("data-key" in a and a["data-key"] is None for _, a in parsed.tags)


@pytest.mark.parametrize("classes", [2, 5, 200])
def test_any_number_of_classes(classes: int) -> None:
    parsed = Page(page.html(make_report([f"class {i}" for i in range(classes)])))
    similar = "selected" in parsed.having("option", value="similar")[0]
    assert similar == (classes > 20)
    assert ("top-5 accuracy" in parsed.text) == (classes > 5)
    assert len([a for a in parsed.having("th", scope="row") if "data-key" in a]) == classes


def test_an_evaluation_alone_has_no_training_section() -> None:
    bare = {"val": None, "confidence": None, "history": (), "kept_epoch": None, "errors": ErrorAnalysis()}
    bare |= {"recipe_source": "", "seconds": {}, "peak_memory_bytes": None, "environment": {}}
    bare |= {"dropped": (), "notes": ()}
    parsed = Page(page.html(make_report(**bare)))
    assert "chart-data" not in parsed.islands
    for section in ("training", "confidence", "mistakes", "extremes", "features", "recipe", "dropped"):
        assert not any(a.get("id") == section for _, a in parsed.tags)
    for link in parsed.having("a"):
        assert any(f"#{a.get('id')}" == link["href"] for _, a in parsed.tags)


def test_who_chose_the_epoch_is_said() -> None:
    chosen, last = (Page(page.html(make_report(val_chose=by_val))).text for by_val in (True, False))
    for words in ("chosen on validation alone", "These also chose the epoch"):
        assert words in chosen
        assert words not in last
        assert words not in page.summary(make_report(val_chose=False))
    assert "also chose the epoch" in page.summary(make_report(val_chose=True))
    assert "whose weights were kept, the last: validation chose nothing." in last
    assert "Test shows how far it holds." in last


def test_absent_classes_and_undefined_auroc_are_dashes() -> None:
    metrics = evaluate_predictions(np.array([0, 0]), np.array([[0.9, 0.1, 0.0], [0.2, 0.8, 0.0]]))
    report = make_report(test=metrics, val=None)
    assert metrics.auroc is None
    assert "AUROC, one against the rest – " in Page(page.html(report)).text
    assert "| AUROC, one against the rest | – |" in page.summary(report)


def test_several_looks_at_the_test_split_are_said() -> None:
    assert "evaluated 3 times" in Page(page.html(make_report(test_evaluations=3))).text
    assert "evaluated 3 times" in page.summary(make_report(test_evaluations=3))
    assert "best of several looks" not in Page(page.html(make_report())).text


def test_looks_for_the_curves_are_told_apart_from_others() -> None:
    rows = [row | {"test_loss": 1.0, "test_top1": 0.5} for row in history(5)]
    once = make_report(history=rows, test_evaluations=6)
    assert "times evaluated 6, 5 for the curves" in Page(page.html(once)).text
    assert "best of several looks" not in Page(page.html(once)).text
    assert "evaluated 6 times, 5 of them for the curves." in page.summary(once)
    again = Page(page.html(make_report(history=rows, test_evaluations=8))).text
    assert "evaluated 3 times beside the looks for the curves: the best of several looks is optimistic" in again
    assert Page(page.html(once)).islands["chart-data"][0]["readings"][1].endswith("validation 1.25, test 1")


@pytest.mark.parametrize("word", HOSTILE)
def test_the_layers_are_folded_into_the_page_as_text(word: str) -> None:
    report = make_report(structure=f"layer  kind\nhead   {word}", architecture="scratch/cnn")
    text = page.html(report)
    parsed = Page(text)
    assert len(parsed.having("details", id="structure")) == 1
    assert "layer kind head" in parsed.text
    assert "network scratch/cnn" in parsed.text
    assert len(parsed.having("script")) == len(Page(page.html(make_report())).having("script"))
    assert not {"\x1b", "\udcff"} & set(text)
    assert "listed in [model.txt]" in page.summary(report)
    assert not Page(page.html(make_report())).having("details", id="structure")
    assert "model.txt" not in page.summary(make_report())


def test_markdown_tables_have_one_width_each() -> None:
    text = page.summary(make_report(HOSTILE, name="# <b>"))
    assert text.startswith("# \\# \\<b\\>\n")
    assert "<script" not in text.replace("\\<", "")
    for block in text.split("\n\n"):
        rows = [row for row in block.splitlines() if row.startswith("|")]
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in rows}) <= 1
    text.encode("utf-8")
