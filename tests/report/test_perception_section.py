"""The section of what a model looks for: frames where the numbers say, pictures, and names that are only text."""

import base64
import io
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from parsed_page import HOSTILE, Page, asks_for_nothing
from PIL import Image
from report_sample import make_report

from finegrain.report import page
from finegrain.report.perception import perception
from finegrain.report.perception_record import Attended, Box, Perception


@dataclass(frozen=True, kw_only=True)
class Field:
    stage: str = "blocks.1"
    cells: int = 4
    influence: NDArray[np.float64]
    reach: Box = (1, 2, 5, 4)
    core: Box = (2, 3, 3, 3)


def field(**changes) -> Field:
    influence = np.zeros((8, 8))
    influence[3, 4], influence[2, 2] = 4.0, 1.0
    return Field(influence=influence, **changes)


def attended(**changes) -> Attended:
    first, last = np.zeros((2, 2, 2), np.float32), np.zeros((2, 2, 2), np.float32)
    first[:, 0, 1], last[:, 1, 0] = 1.0, 1.0
    values = {"path": "test/7.png", "label": 0, "predicted": 1, "probability": 0.625}
    pixels = np.full((8, 8, 3), 100, np.uint8)
    return Attended(**(values | {"pixels": pixels, "first": first, "last": last} | changes))


def picture(uri: str) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))).convert("RGB"))


def test_frames_lie_where_the_fields_do() -> None:
    found = Perception(fields=(field(), field(stage="blocks.2", reach=(0, 0, 8, 8))), field_images=32)
    parsed = Page(page.html(make_report(perception=found)))
    frames = [
        {k: str(a[k]) for k in ("x", "y", "width", "height")} for a in parsed.having("rect", **{"class": "reach"})
    ]
    assert frames[0] == {"x": "1", "y": "2", "width": "5", "height": "4"}
    assert [a["x"] for a in parsed.having("rect", **{"class": "core"})] == ["2", "2"]
    assert "blocks.1 grid 4 × 4 5 px , 95 % in 3 px" in " ".join(parsed.text.split())
    assert "all 8 px" in parsed.text
    assert "mean over 32 test images" in parsed.text
    assert "First layer" not in parsed.text
    assert "class token" not in parsed.text
    assert parsed.having("a", href="#perception")


def test_the_influence_is_drawn_by_its_root() -> None:
    (drawn,) = perception(Perception(fields=(field(),)), ("a",))["fields"]
    pixels = picture(drawn["picture"]).astype(int).sum(axis=2)
    assert pixels.shape == (8, 8)
    assert (int(pixels.argmax()), int((pixels > pixels.min()).sum())) == (3 * 8 + 4, 2)
    halfway = perception(Perception(fields=(replace(field(), influence=np.array([[0.0, 1.0, 4.0]])),)), ("a",))
    row = picture(halfway["fields"][0]["picture"])[0]
    from matplotlib import colormaps

    assert row.tolist() == [list(colormaps["inferno"](level, bytes=True)[:3]) for level in (0.0, 0.5, 1.0)]


def test_attention_lies_over_the_image_patch_by_patch() -> None:
    (drawn,) = perception(Perception(attended=(attended(),)), ("a", "b"))["attended"]
    (_, first), (_, last) = drawn["layers"]
    for uri, hot in ((first, (slice(0, 4), slice(4, 8))), (last, (slice(4, 8), slice(0, 4)))):
        changed = (picture(uri) != 100).any(axis=2)
        assert changed[hot].all()
        assert changed.sum() == 16
    assert (picture(drawn["image"]) == 100).all()
    assert picture(drawn["heads"]).shape == (56, 2 * 56 + 3, 3)


def test_images_are_named_right_or_wrong() -> None:
    text = Page(page.html(make_report(perception=Perception(attended=(attended(), attended(label=1)))))).text
    words = " ".join(text.split())
    assert "wren taken for robin 62.5 %" in words
    assert "robin 62.5 % test/7.png" in words
    assert "averages" not in words.partition("Attention of the class token")[2].partition("Every class")[0]


def test_hostile_names_are_only_text() -> None:
    found = Perception(fields=(field(stage=HOSTILE[0]),), attended=(attended(path=HOSTILE[0]),))
    written = page.html(make_report(HOSTILE, paths=[f"{i}.jpg" for i in range(3 * len(HOSTILE))], perception=found))
    asks_for_nothing(written)
    plain = Page(page.html(make_report(perception=found)))
    assert len(Page(written).having("script")) == len(plain.having("script"))


def test_what_means_nothing_is_left_out() -> None:
    parsed = Page(page.html(make_report()))
    assert "What it looks for" not in parsed.text
    assert not parsed.having("section", id="perception")


def test_what_could_not_be_seen_is_said() -> None:
    report = make_report(perception=Perception(unseen="no room <b>"))
    assert "Receptive fields and attention are not shown: no room <b>." in Page(page.html(report)).text
