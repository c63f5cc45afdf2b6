import json
from pathlib import Path

import pytest
from parsed_page import HOSTILE, Page, asks_for_nothing
from quality_sample import diversity, memorisation, of_class, report, taught, version

from finegrain.report.quality_words import findings, in_short, ranking


def words(**changes: object) -> str:
    judged = version(**changes)
    return " ".join(findings(judged, report(judged)))


@pytest.mark.parametrize(
    ("right", "verdict"),
    [
        (120, "They teach less than as many real images: a classifier trained on 80 of them alone recognises 60.0"),
        (158, "What they teach cannot be told from what as many real images teach"),
        (195, "They teach more than as many real images"),
    ],
)
def test_what_images_teach_is_said_from_the_paired_comparison(right: int, verdict: str) -> None:
    assert findings(version(right=right), report())[0].startswith(verdict)


def test_several_trainings_are_said() -> None:
    score = taught(120, trainings=3)
    assert "trained on 80 of them alone, 3 times on others, recognises" in words(taught=score)


@pytest.mark.parametrize(
    ("shown", "verdict"),
    [
        (38, "They do not show their classes"),
        (60, "They show their classes less often than real images"),
        (80, "They show their classes about as often as real images"),
        (98, "They show their classes more plainly than real images"),
    ],
)
def test_whether_classes_show_is_said_from_intervals_and_chance(shown: int, verdict: str) -> None:
    said = words(shown=shown)
    assert verdict in said
    assert "chance is 33.3" in said


def test_distance_is_said_against_the_floor() -> None:
    assert (
        "They are further from held-out images than those from each other: kernel distance 0.5 (0.25 to 1)" in words()
    )
    assert "They are no further from held-out images" in words(far=0.005)
    assert "floor 0.01, n = 90 each; of 1 class by themselves 1 are." in words()


def test_collapsed_classes_are_named() -> None:
    assert "half as diverse" not in words()
    said = words(diversities=(of_class(0, diversity(0.8)), of_class(1, diversity(0.3))))
    assert "In 1 class they are surely less than half as diverse as real ones: wren." in said


def test_copies_are_said_only_where_there_are_more_than_of_new_images() -> None:
    assert "No more look like copies than of new images: 2.0" in words()
    assert "Some are copies of train images: 40.0" in words(memorisation=memorisation(p=1e-9, copies=40))
    assert "3.0\N{NBSP}% are duplicates of each other within a class" in words()
    unmeasured = {"memorisation": None, "unmeasured": "3 held-out images cannot tell copies", "twins": ()}
    assert "Whether they are copies is not measured: 3 held-out images cannot tell copies." in words(**unmeasured)


def test_a_ranking_says_what_cannot_be_told_apart() -> None:
    three = report(version("A", right=160), version("B", right=158), version("C", right=90))
    said = ranking(three)
    assert said[0].startswith("A and B cannot be told apart by what they teach (+1.00 points")
    assert said[1].startswith("A and C differ: A teaches more (+35.00 points")
    assert said[2].startswith("B and C differ: B teaches more")
    assert ranking(report()) == []
    assert three.headline().splitlines() == [*(in_short(one, three) for one in three.versions), *said]


def test_the_page_shows_every_version_class_and_twin_and_asks_for_nothing(tmp_path: Path) -> None:
    path = report(version("A"), version("B", right=90)).write(tmp_path)
    html = path.read_text()
    asks_for_nothing(html)
    page = Page(html)
    for text in (
        "A, B",
        "jay",
        "wren",
        "0.75",
        "wren/7.png",
        "train/wren/3.jpg",
        "A note.",
        "look 1 at test",
        "abababab",
    ):
        assert text in page.text
    assert "2 of 3 classes are judged" in page.text
    assert len(page.having("table", **{"class": "sortable"})) == 2
    assert len(page.having("img")) == 2 * 3 + 2 * 2  # strips of train and both versions, and a pair each
    assert not page.having("th", **{"data-key": "2"}), "a class that is not judged has no row"


def test_names_cannot_break_out_of_the_page(tmp_path: Path) -> None:
    name = "".join(HOSTILE)
    judged = version(name)
    html = report(judged, name=name, class_names=(name,) * 3, notes=(name,)).write(tmp_path).read_text()
    asks_for_nothing(html)
    assert "<script>alert" not in html
    assert "onerror" not in [key for _, attributes in Page(html).tags for key in attributes]


def test_the_numbers_are_plain_json(tmp_path: Path) -> None:
    report(version("A"), version("B", right=90, memorisation=None, unmeasured="few", twins=())).write(tmp_path)
    content = json.loads((tmp_path / "quality.json").read_text())
    first, second = content["versions"]
    assert content["extractor"] == {"name": "resnet50 at 224 px", "sha256": "ab" * 32, "features": 8}
    assert (first["cas"]["accuracy"], first["cas"]["minus_real"]["verdict"]) == (0.6, "worse")
    assert first["gan_test"]["accuracy"] == 0.6
    assert [row["accuracy"] for row in first["gan_test"]["classes"]] == [0.6, 0.6, None]
    assert first["memorisation"]["rate"] == 0.02
    assert first["nearest_to_train"] == [
        {"path": "generated://cd/wren/7.png", "train": "train/wren/3.jpg", "ratio": 0.75}
    ]
    assert second["memorisation"] is None
    assert content["compared"][0]["first"] == "A"
    assert content["compared"][0]["verdict"] == "better"
