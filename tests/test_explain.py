"""The command `explain`: from a run, or images, to a page; and what it refuses."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tiny_recipe
from PIL import Image

from finegrain.commands import carry_out
from finegrain.data.image import image_files
from finegrain.errors import FinegrainError
from finegrain.recipe import Recipe

QUICK = ["train.epochs=1", "schedule.warmup_epochs=0", "tuning.probe_first=false"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with images and a finished run."""
    home = tmp_path_factory.mktemp("explain")
    tiny_recipe.write_images(home / "images")
    carry_out(recipe(home), ["train", *QUICK], out=home / "run")
    return home


@pytest.fixture
def go(home: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(home)

    def go(*words: str, run: str = "run") -> tuple[str, str, list[Path]]:
        """What was printed, the page, and the pictures."""
        said = carry_out(recipe(home), ["explain", *QUICK, *words], out=home / run)
        page = Path(said.splitlines()[-1])
        kind = page.stem.removeprefix("explain-")
        pictures = sorted((home / "gen" / "tiny" / f"explain-{run}-{kind}").iterdir())
        return said, page.read_text(encoding="utf-8"), pictures

    return go


def recipe(home: Path) -> Recipe:
    made = tiny_recipe.config()
    made.data.root = str(home / "images")
    return made


def predictions(home: Path) -> list[dict[str, str]]:
    with (home / "run" / "predictions.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def rewrite(home: Path, rows: list[dict[str, str]]) -> None:
    with (home / "run" / "predictions.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture
def mistaken(home: Path):
    """Two mistakes on test, the second the surer one."""
    kept = predictions(home)
    rows = [row | {"class_1": row["label"]} for row in kept]
    for row, sureness in zip(rows, ("0.5", "0.9"), strict=False):
        row |= {"class_1": "other", "probability_1": sureness}
    rewrite(home, rows)
    yield [rows[1]["path"], rows[0]["path"]]
    rewrite(home, kept)


def test_the_surest_mistakes_come_first_and_test_is_not_counted(go, home: Path, mistaken: list[str]):
    looks = (home / "run" / "test_evaluations.json").read_text()
    said, page, pictures = go()
    assert "2 images explained by hirescam" in said
    assert len(pictures) == 2
    assert page.index(mistaken[0]) < page.index(mistaken[1])
    assert "rather than" in page
    assert (home / "run" / "test_evaluations.json").read_text() == looks
    said, page, pictures = go("count=1")
    assert len(pictures) == 1
    assert mistaken[1] not in page


def test_a_class_or_two_to_tell_apart(go, home: Path):
    _, page, pictures = go("class_name=crane", "compare=auk,crane", "method=layercam")
    (row,) = [row for row in predictions(home) if row["label"] == "crane"]
    assert row["path"] in page
    assert "auk rather than crane" in page
    assert "crane rather than auk" in page
    assert page.count("<figure") == 5
    assert len(pictures) == 1


@pytest.mark.parametrize("judged", ["plain", "flip"])
def test_the_page_says_whether_the_run_was_judged_by_other_views(go, home: Path, judged: str):
    """By what the run says of itself, not by the config of the call."""
    file = home / "run" / "metrics.json"
    kept = file.read_text()
    file.write_text(json.dumps(json.loads(kept) | {"views": judged}))
    _, page, _ = go("class_name=auk", "count=1")
    file.write_text(kept)
    assert ("are averages over more (views=flip)" in page) == (judged == "flip")


def test_own_images(go, home: Path):
    folder = home / "own" / "deeper"
    folder.mkdir(parents=True)
    Image.fromarray(np.full((50, 40, 3), 90, np.uint8)).save(folder / "a.png")
    (home / "own" / "notes.txt").write_text("no image")
    _, page, pictures = go(f"images={home / 'own'}", "method=eigencam")
    assert page.count("<figure") == 2
    assert "whatever the class" in page
    assert "in truth" not in page
    assert len(pictures) == 1
    assert image_files(folder / "a.png") == image_files(home / "own") == [folder / "a.png"]


def test_a_vision_transformer_shows_each_layer_and_head(go, home: Path):
    vit = ["model.name=timm/test_vit", "model.image_size=64"]
    carry_out(recipe(home), ["train", *QUICK, *vit], out=home / "vit")
    _, page, (picture,) = go("method=attention", "class_name=auk", *vit, run="vit")
    assert page.count("<figure") == 3
    assert page.count('class="wide"') == 1
    heads, layers = 2, 6
    assert Image.open(picture).size == (64 + 3 + 64 + 3 + heads * 59 - 3, layers * 59 - 3)


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["images=https://example.org/a.jpg"], "images is an address"),
        (["images=nowhere"], "no images: got nowhere, which does not exist"),
        (["images=empty"], "empty, a folder without any"),
        (["images=broken.png"], "broken.png"),
        (["images=empty", "class_name=auk"], "images are chosen twice"),
        (["class_name=dodo"], "no such class: got dodo; expected one of auk, bee_eater, crane"),
        (["compare=auk"], "compare: got auk; expected two classes"),
        (["compare=auk,auk"], "compare: got auk,auk"),
        (["compare=auk,dodo"], "no such class: got dodo"),
        (["method=rollout", "class_name=auk"], "rollout needs attention between all patches"),
        (["method=lime"], "method cannot take this value: got lime; expected one of gradcam"),
        (["count=0"], "count"),
    ],
)
def test_what_cannot_be_explained_is_one_message(go, home: Path, words: list[str], part: str):
    (home / "empty").mkdir(exist_ok=True)
    (home / "broken.png").write_bytes(b"\x89PNG broken")
    before = sorted(home.rglob("*"))
    with pytest.raises(FinegrainError) as refused:
        go(*words)
    assert part in str(refused.value)
    assert sorted(home.rglob("*")) == before


def test_bad_files_are_dropped_when_asked(go, home: Path):
    (home / "mixed").mkdir()
    Image.new("RGB", (40, 40)).save(home / "mixed" / "a.png")
    (home / "mixed" / "b.jpg").write_bytes(b"\xff\xd8\xff damaged")
    with pytest.raises(FinegrainError, match=r"b\.jpg cannot be read as an image.*data\.on_bad=drop"):
        go("images=mixed")
    said, page, _ = go("images=mixed", "data.on_bad=drop")
    assert "1 images explained" in said
    assert "b.jpg" not in page


def test_a_run_without_a_best_model_or_predictions_is_refused(go, home: Path):
    (home / "begun").mkdir()
    with pytest.raises(FinegrainError, match=r"begun has no best model.*train first"):
        go(run="begun")
    shutil.copytree(home / "run" / "checkpoints", home / "unfinished" / "checkpoints")
    with pytest.raises(FinegrainError, match=r"there is no .*predictions\.csv.*name images: images=FOLDER"):
        go(run="unfinished")


def test_a_run_of_other_classes_is_refused(go, home: Path):
    shutil.copytree(home / "images", home / "others")
    for split in ("train", "val", "test"):
        (home / "others" / split / "crane").rename(home / "others" / split / "dodo")
    with pytest.raises(FinegrainError, match=r"classes are not the model's.*got 'dodo'.*expected 'crane'"):
        go(f"data.root={home / 'others'}", "images=others")


def test_a_run_that_is_not_there_is_not_made(go, home: Path):
    with pytest.raises(FinegrainError, match="no run to explain"):
        go(run="nowhere")
    assert not (home / "nowhere").exists()


def test_a_run_of_other_images_is_refused(go, home: Path, mistaken: list[str]):
    rewrite(home, [row | {"path": "test/auk/gone.png"} for row in predictions(home)])
    with pytest.raises(FinegrainError, match=r"names an image that is not there: got test/auk/gone\.png"):
        go()


def test_a_run_without_mistakes_says_so(go, home: Path, mistaken: list[str]):
    rewrite(home, [row | {"class_1": row["label"]} for row in predictions(home)])
    with pytest.raises(FinegrainError, match="no mistake on test"):
        go()


def test_damaged_predictions_are_refused(go, home: Path, mistaken: list[str]):
    (home / "run" / "predictions.csv").write_text("path,label\na,b\n")
    with pytest.raises(FinegrainError, match=r"is damaged: got no column class_1.*evaluate"):
        go()
