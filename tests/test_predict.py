"""The command `predict`: planted models say what is known beforehand, of good and bad files; no run's config runs."""

import csv
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_recipe
import torch

import main
from finegrain.commands import carry_out
from finegrain.metrics.ensembles import average
from finegrain.models.config import ModelConfig
from finegrain.models.weights import save_folder
from finegrain.storage import RunDirectory

NAMES = ("auk", "bee_eater", "crane")
P, Q = (0.2, 0.5, 0.3), (0.1, 0.2, 0.7)
EXACT = ("runtime.precision=fp32", "runtime.device=cpu", "runtime.threads=1")
CALIBRATION = {
    "val_images": 300,
    "temperature": 2.0,
    "threshold": {"confidence": 0.45},
    "sets": {"method": "lac", "coverage": 0.9, "limit": 0.75},
    "test": {"before": {"loss": 0.8}, "after": {"loss": 0.7}},
}
WORSE = {"before": {"loss": 0.8}, "after": {"loss": 0.9}}


def plant(path: Path, probabilities: Sequence[float], names: Sequence[str] = NAMES, **metrics: Any) -> Path:
    """A run whose model says the same of every image; its config must not be run."""
    model = ModelConfig(name="timm/test_resnet", image_size=32).build(num_classes=len(names))
    head = model.get_submodule(model.head_name)
    model.set_head(torch.zeros_like(head.weight), torch.log(torch.tensor(probabilities)))
    with RunDirectory(path, resume=False) as directory:
        folder = directory.save("best", lambda folder: save_folder(model, folder, class_names=names))
    (path / "config.py").write_text("raise SystemError('a run is predicted with, not run')")
    content = {"checkpoint": folder.name, "views": "plain", "calibration": CALIBRATION} | metrics
    (path / "metrics.json").write_text(json.dumps(content))
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with images and with runs: two planted ones, and one that was trained."""
    home = tmp_path_factory.mktemp("predict")
    tiny_recipe.write_images(home / "images")
    plant(home / "p", P)
    plant(home / "q", Q)
    recipe = tiny_recipe.config()
    recipe.data.root = str(home / "images")
    words = ["train", "train.epochs=1", "schedule.warmup_epochs=0", "tuning.probe_first=false", "evaluation.views=flip"]
    carry_out(recipe, words, out=home / "trained")
    (home / "trained" / "config.py").write_text("raise SystemError('a run is predicted with, not run')")
    plant_wrong(home)
    return home


def plant_wrong(home: Path) -> None:
    """What cannot be predicted with, or cannot be calibrated."""
    (home / "empty").mkdir()
    (home / "empty.txt").write_text("\n")
    (home / "notes.md").write_text("no image")
    (home / "untrained" / "checkpoints").mkdir(parents=True)
    plant(home / "other", P, names=("auk", "bee", "crane"))
    plant(home / "fewer", (0.5, 0.5), names=("auk", "bee_eater"))
    plant(home / "old", P, checkpoint="best-000007")
    plant(home / "worse", P, calibration=CALIBRATION | {"val_images": 16, "test": WORSE})
    plant(home / "damaged", P, calibration=CALIBRATION | {"temperature": -1.0})
    plant(home / "odd", P, views="ten")
    (plant(home / "cut", P) / "metrics.json").write_text("{")
    (plant(home / "unjudged", P) / "metrics.json").unlink()
    weights = plant(home / "torn", P) / "checkpoints" / "best-000000" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    for name in ("folder", "adapter"):
        shutil.copytree(home / "p" / "checkpoints" / "best-000000", home / name)
    described = json.loads((home / "adapter" / "config.json").read_text())
    described["base"] = {"weights": "x", "sha256": "0", "adapter_sha256": "0"}
    (home / "adapter" / "config.json").write_text(json.dumps(described))


@pytest.fixture
def home(made: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """It as the working directory."""
    monkeypatch.chdir(made)
    return made


@pytest.fixture
def go(home: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., list[dict[str, str]]]:
    """Predict with exit code 0 and give the rows of the table that was named last."""

    def go(*words: str) -> list[dict[str, str]]:
        assert main.main(["predict", *words, *EXACT]) == 0
        return table(Path(capsys.readouterr().out.splitlines()[-1]))

    return go


def table(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as opened:
        return list(csv.DictReader(opened))


def test_a_planted_model_gives_its_exact_order_and_its_calibration_by_hand(go):
    rows = go("--out", "p", "images=images/test")
    assert [row["path"] for row in rows] == [f"images/test/{name}/0.png" for name in NAMES]
    scaled = sorted((p**0.5 / sum(q**0.5 for q in P) for p in P), reverse=True)
    for row in rows:
        assert [row[f"class_{rank}"] for rank in (1, 2, 3)] == ["bee_eater", "crane", "auk"]
        assert [float(row[f"probability_{rank}"]) for rank in (1, 2, 3)] == pytest.approx([0.5, 0.3, 0.2], rel=1e-5)
        assert [float(row[f"calibrated_{rank}"]) for rank in (1, 2, 3)] == pytest.approx(scaled, rel=1e-5)
        assert (row["unsure"], row["set"], row["error"]) == ("false", "bee_eater | crane", "")


@pytest.mark.parametrize(
    ("words", "metrics", "unsure"),
    [
        ([], {"threshold": {"confidence": 0.45}}, "false"),
        ([], {"threshold": {"confidence": 0.55}}, "true"),
        (["threshold=0.6"], {"threshold": {"confidence": 0.45}}, "true"),
        (["threshold=0.4"], {"threshold": None}, "false"),
        ([], {"threshold": None}, "true"),
        ([], {"threshold": None, "sets": {"method": "lac", "coverage": 0.9, "limit": 0.6}}, "false"),
        ([], {"threshold": None, "sets": {"method": "lac", "coverage": 0.9, "limit": None}}, ""),
    ],
)
def test_unsure_is_by_the_threshold_else_by_the_set(go, tmp_path: Path, words: list[str], metrics: dict, unsure: str):
    run = plant(tmp_path / "run", P, calibration=CALIBRATION | metrics)
    (row,) = go(str(run), "images=images/test/auk/0.png", *words)
    assert row["unsure"] == unsure


def test_a_trained_run_says_what_its_report_says(go, home: Path):
    """With the views it was judged with, whatever the batches."""
    before = {path: path.stat().st_mtime_ns for path in home.glob("trained/**/*") if path.is_file()}
    expected = {row["path"]: row for row in table(home / "trained" / "predictions.csv")}
    for words in ([], ["batch_size=1"], ["batch_size=2"], ["views=flip"]):
        rows = go("trained", "images=images/test", *words)
        assert {row["path"].removeprefix("images/") for row in rows} == set(expected)
        for row in rows:
            report = expected[row["path"].removeprefix("images/")]
            for rank in (1, 2, 3):
                assert row[f"class_{rank}"] == report[f"class_{rank}"]
                reported = float(report[f"probability_{rank}"])
                assert float(row[f"probability_{rank}"]) == pytest.approx(reported, rel=1e-4)
            assert row["calibrated_1"]
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert len(list((home / "trained").glob("predict-*.csv"))) == 4
    plain = {row["path"]: row["probability_1"] for row in go("trained", "images=images/test", "views=plain")}
    assert plain != {row["path"]: row["probability_1"] for row in rows}


def test_five_per_cent_bad_files_are_listed_and_the_rest_is_done(home: Path, tmp_path: Path, capsys, caplog):
    out = tmp_path / "out.csv"
    (home / "many").mkdir()
    source = (home / "images" / "test" / "auk" / "0.png").read_bytes()
    for number in range(40):
        (home / "many" / f"{number:02}.png").write_bytes(source)
    (home / "many" / "07.png").write_bytes(source[: len(source) // 2])
    (home / "many" / "23.png").write_text("not an image")
    with caplog.at_level("INFO"):
        assert main.main(["predict", "p", "images=many", f"to={out}", *EXACT]) == 3
    rows = table(out)
    assert [row["path"] for row in rows] == [f"many/{number:02}.png" for number in range(40)]
    assert [row["path"] for row in rows if row["error"]] == ["many/07.png", "many/23.png"]
    assert rows[23]["error"].startswith("many/23.png cannot be read as an image: got a file that starts with")
    assert {row["class_1"] for row in rows if not row["error"]} == {"bee_eater"}
    assert rows[7]["class_1"] == rows[7]["unsure"] == ""
    assert "38 images predicted, 0 of them unsure" in caplog.text
    shown = capsys.readouterr().err
    assert shown.startswith("finegrain: 2 of 40 files could not be read (2 faults):\n  1. many/07.png")
    assert "many/23.png" in shown
    assert "Traceback" not in shown


def test_a_list_with_files_that_are_not_there_in_json(home: Path, tmp_path: Path):
    Path("list.txt").write_text("images/test/crane/0.png\ngone.png\n")
    out = tmp_path / "out.json"
    assert main.main(["predict", "p", "images=list.txt", f"to={out}", "top=1", *EXACT]) == 3
    found = json.loads(out.read_text())
    (entry,) = found["predictions"]
    assert entry["path"] == "images/test/crane/0.png"
    assert [row["class"] for row in entry["classes"]] == ["bee_eater"]
    assert entry["classes"][0]["probability"] == pytest.approx(0.5)
    assert (entry["unsure"], entry["set"]) == (False, ["bee_eater", "crane"])
    assert found["models"] == ["p"]
    assert [bad["path"] for bad in found["unreadable"]] == ["gone.png"]


def test_a_pattern_and_a_format(home: Path, capsys):
    assert main.main(["predict", "p", "images=images/*/auk/*.png", "format=json", *EXACT]) == 0
    file = Path(capsys.readouterr().out.splitlines()[-1])
    assert (file.parent, file.suffix) == (Path("p"), ".json")
    assert len(json.loads(file.read_text())["predictions"]) == 8


@pytest.mark.parametrize("how", ["probabilities", "logits"])
def test_several_models_are_averaged_and_not_calibrated(go, home: Path, how: str, caplog):
    rows = go("--out", "p", "q", "images=images/test/auk", f"average={how}")
    expected = average(np.array([[P], [Q]]), how)[0]
    assert float(rows[0]["probability_1"]) == pytest.approx(expected.max(), rel=1e-5)
    assert rows[0]["class_1"] == "crane"
    assert (rows[0]["calibrated_1"], rows[0]["unsure"], rows[0]["set"]) == ("", "", "")
    assert list(home.glob("predict-*.csv"))
    (row,) = go("p", "q", "images=images/test/auk", f"average={how}", "threshold=0.9")
    assert row["unsure"] == "true"


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["p", "views=flip"], "val was judged with views=plain"),
        (["p", "q"], "what several models say together was not judged on val"),
        (["folder"], "a model folder says nothing of val"),
        (["old"], "old/metrics.json does not say that it is of best-000000: evaluate the run again"),
        (["unjudged"], "the run was not judged yet"),
        (["worse"], "the temperature fitted on 16 val images made test worse, as the report says"),
    ],
)
def test_what_is_not_calibrated_says_why(home: Path, tmp_path: Path, capsys, words: list[str], reason: str):
    out = tmp_path / "out.csv"
    assert main.main(["predict", *words, "images=images/test/auk", f"to={out}", *EXACT]) == 0
    shown = capsys.readouterr().out
    assert f"Nothing is calibrated: {reason}." in shown
    assert "1 image predicted\n" in shown
    assert table(out)[0]["calibrated_1"] == ""


def test_bf16_says_the_same(home: Path, tmp_path: Path):
    words = ["predict", "trained", "images=images/test", "runtime.device=cpu", "runtime.threads=1"]
    for precision in ("fp32", "bf16"):
        assert main.main([*words, f"to={tmp_path}/{precision}.csv", f"runtime.precision={precision}"]) == 0
    exact, fast = table(tmp_path / "fp32.csv"), table(tmp_path / "bf16.csv")
    for a, b in zip(exact, fast, strict=True):
        assert float(b["probability_1"]) == pytest.approx(float(a["probability_1"]), abs=0.03)


@pytest.mark.parametrize("views", ["plain", "flip"])
def test_what_the_model_looks_at_is_shown_for_the_least_sure(home: Path, tmp_path: Path, capsys, views: str):
    words = ["predict", "trained", "images=images/test", f"to={tmp_path}/out.csv", "--explain", f"views={views}"]
    words += EXACT
    assert main.main(words) == 0
    page = Path(capsys.readouterr().out.splitlines()[-1])
    assert page == tmp_path / "explain-out.html"
    text = page.read_text()
    surest = sorted(table(tmp_path / "out.csv"), key=lambda row: float(row["probability_1"]))
    places = [text.index(row["path"]) for row in surest]
    assert places == sorted(places)
    assert "rather than" in text
    assert ("are averages over more (views=flip)" in text) == (views == "flip")
    assert len(list((home / "gen" / "trained" / "explain-out").iterdir())) == 3


def test_the_table_is_named_where_the_page_fails(home: Path, tmp_path: Path, monkeypatch, capsys, caplog):
    monkeypatch.setattr("finegrain.predict.GALLERY", home / "notes.md")
    with caplog.at_level("INFO"):
        assert (
            main.main(["predict", "trained", "images=images/test", f"to={tmp_path}/out.csv", "--explain", *EXACT]) == 2
        )
    assert "3 images predicted" in caplog.text
    assert f"{tmp_path}/out.csv" in caplog.text
    assert "cannot write the pictures" in capsys.readouterr().err
    assert len(table(tmp_path / "out.csv")) == 3


def test_a_name_of_no_known_end_takes_the_format_that_is_said(home: Path, tmp_path: Path):
    assert main.main(["predict", "p", "images=images/test", f"to={tmp_path}/out", "format=json", *EXACT]) == 0
    assert len(json.loads((tmp_path / "out").read_text())["predictions"]) == 3


def test_names_that_a_spreadsheet_would_run_are_escaped(home: Path, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(home / "images" / "test" / "auk" / "0.png", "=1+1.png")
    Path("list.txt").write_text("=1+1.png\n")
    plant(Path("hostile"), P, names=("-a", "=cmd()", "c"))
    assert main.main(["predict", "hostile", "images=list.txt", "to=out.csv", *EXACT]) == 0
    (row,) = table(Path("out.csv"))
    assert (row["path"], row["class_1"], row["class_3"]) == ("'=1+1.png", "'=cmd()", "'-a")


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["p"], "no images: got none; expected images=PATH"),
        (["images=images"], "no model: got none"),
        (["p", "images=https://example.org/a.jpg"], "images is an address"),
        (["p", "images=empty"], "empty, a folder without any"),
        (["p", "images=images/*.gif"], "images/*.gif, which names none"),
        (["p", "images=empty.txt"], "empty.txt, which names none"),
        (["p", "images=notes.md"], "notes.md cannot be read as an image"),
        (["p", "images=images", "max_pixels=1023"], "24 of 24 files could not be read (24 faults)"),
        (["nowhere", "images=images"], "nowhere holds no model: got no such directory"),
        (["empty", "images=images"], "empty holds no model: got neither checkpoints nor config.json"),
        (["adapter", "images=images"], "adapter holds no model: got an adapter"),
        (["untrained", "images=images"], "untrained has no best model"),
        (["torn", "images=images"], "best-000000 is damaged"),
        (["damaged", "images=images"], "damaged/metrics.json is damaged: got ConfigError: temperature"),
        (["cut", "images=images"], "cut/metrics.json is damaged: got JSONDecodeError"),
        (["odd", "images=images"], "odd/metrics.json is damaged: got ValueError: views ten"),
        (["p", "other", "images=images"], "differ first at number 1: got bee; expected bee_eater"),
        (["p", "fewer", "images=images"], "differ first at number 2: got none; expected crane"),
        (["p", "images=images", "to=notes.md"], "to and its format: got notes.md; expected a name that ends .csv"),
        (["p", "images=images", "to=notes.md", "format=csv"], "notes.md is there already: got a file"),
        (["p", "images=images", "to=empty", "format=json"], "empty is there already: got a folder"),
        (["p", "images=images", "to=a.xlsx"], "to and its format: got a.xlsx"),
        (["p", "images=images", "to=a.json", "format=csv"], "to and its format: got a.json format=csv"),
        (["p", "images=images", "to=no/where.csv"], "cannot be written: got no, which is no folder;"),
        (["--out", "p", "./p", "images=images"], "a model twice: got p, ./p"),
        (["p", "q", "images=images", "--explain"], "explain is of one model: got 2; expected one; leave --explain out"),
        (["p", "images=images", "top=0"], "top is not allowed"),
        (["p", "images=images", "threshold=2"], "threshold is not allowed"),
        (["p", "images=images", "views=ten"], "views cannot take this value"),
        (["p", "images=images", "runtime.thread=1"], "did you mean runtime.threads?"),
        (["p", "images=images", "--config", "c.py"], "predict takes no such options: got config"),
        (["p", "images=images", "--resume", "--dry-run"], "got resume, dry_run"),
    ],
)
def test_wrong_input_is_one_message_and_nothing_is_written(home: Path, capsys, words: list[str], part: str):
    before = sorted(home.rglob("*"))
    assert main.main(["predict", *words, *EXACT]) == 2
    shown = capsys.readouterr().err
    assert part in shown
    assert shown.startswith("finegrain: ")
    assert "Traceback" not in shown
    assert sorted(home.rglob("*")) == before
