"""The page of explanations: self-contained, escaped, and its pictures beside it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from parsed_page import HOSTILE, Page
from PIL import Image

from finegrain.errors import OutputError
from finegrain.report.explanations import Explained, Explanations, Panel, html
from finegrain.report.heat import CELL, attention_sheet, overlay, side_by_side

RED = np.full((8, 8, 3), (200, 0, 0), np.uint8)


def record(*words: str) -> Explanations:
    title, path, label, predicted = words or ("for a wren", "a/1.png", "jay", "wren")
    panels = [Panel(title=title, picture=RED), Panel(title="sheet", picture=RED[:4], wide=True)]
    image = Explained(path=path, label=label, predicted=predicted, probability=0.75, panels=panels)
    facts = {"architecture": "timm/test", "chosen": "The surest mistakes.", "reading": "Hot is hot."}
    return Explanations(name="birds", method="gradcam", images=[image], **facts)


def test_the_page_holds_everything_and_asks_for_nothing():
    page = Page(html(record()))
    sources = [attributes["src"] for tag, attributes in page.tags if tag == "img"]
    assert len(sources) == 2
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    words = " ".join(page.words)
    for expected in ("birds, gradcam", "The surest mistakes.", "Hot is hot.", "75.0", "in truth", "jay", "for a wren"):
        assert expected in words


def test_probabilities_of_another_view_than_the_runs_are_told():
    assert "plain view" not in Page(html(record())).text
    told = (
        "of the plain view alone, the middle of the image. The predictions in the tables beside this page are averages"
    )
    assert f"{told} over more (views=flip)" in Page(html(replace(record(), views="flip"))).text


@pytest.mark.parametrize("word", HOSTILE)
def test_names_cannot_break_out(word: str):
    text = html(record(word, word, word, word))
    page = Page(text)
    assert [tag for tag, _ in page.tags].count("script") == 1
    assert not {"\x1b", "\udcff"} & set(text)


def test_pictures_lie_beside_each_other_and_old_ones_go(tmp_path: Path):
    pictures = tmp_path / "gen" / "birds"
    for _ in range(2):
        record().write(tmp_path / "page.html", pictures)
        assert [path.name for path in pictures.iterdir()] == ["0001.png"]
        (pictures / "0002.png").write_bytes(b"of an earlier call")
    picture = Image.open(pictures / "0001.png")
    assert picture.size == (19, 8)
    assert picture.getpixel((0, 0)) == (200, 0, 0)
    assert picture.getpixel((18, 7)) == (255, 255, 255)


def test_a_folder_that_cannot_be_made_is_one_message(tmp_path: Path):
    (tmp_path / "gen").write_text("in the way")
    with pytest.raises(OutputError, match=r"cannot write the pictures.*free that path"):
        record().write(tmp_path / "page.html", tmp_path / "gen" / "birds")


def test_heat_covers_the_photograph_where_it_is_hot():
    heat = np.zeros((8, 8), np.float32)
    heat[0, 0] = 1
    drawn = overlay(RED, heat)
    assert drawn[4, 4].tolist() == [60, 60, 60]  # 0.299 · 200
    assert drawn[0, 0, 0] > 200


def test_a_sheet_of_attention_has_a_row_a_layer():
    maps = np.zeros((2, 3, 2, 2), np.float32)
    maps[1, 2, 0, 1] = 0.5
    sheet = attention_sheet(maps)
    assert sheet.shape == (2 * CELL + 3, 3 * CELL + 6, 3)
    hot = np.argwhere(sheet[..., 1] > sheet[0, 0, 1] + 20)
    inside = [place for place in hot.tolist() if sheet[tuple(place)].tolist() != [255, 255, 255]]
    assert min(inside) == [CELL + 3, 2 * CELL + 6 + CELL // 2]
    assert side_by_side([RED]).shape == RED.shape
