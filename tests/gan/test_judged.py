"""`--quality` from end to end: features as extraction gives them, labels by name, no leak, and one message each."""

import json
from pathlib import Path

import numpy as np
import pytest
from parsed_page import Page
from small_gan import CPU
from versions import write_version

import main_gan
from finegrain import config
from finegrain.data import splits
from finegrain.data.base import Data
from finegrain.errors import DataError
from finegrain.features.cache import FeatureCache
from finegrain.features.extract import extract
from finegrain.gan.judged import extractor_of, see, starting_model, version_names
from finegrain.recipe import Recipe
from finegrain.tuning.lora import Lora

ROOT = Path(__file__).parent.parent.parent
WORDS = [
    "data.image_size=32", "data.num_species=2", "data.train_per_species=12", "data.val_per_species=6",
    "data.test_per_species=8", "model.image_size=32", "runtime.device=cpu", "runtime.precision=fp32",
]  # fmt: skip


def recipe() -> Recipe:
    made: Recipe = config.load(ROOT / "configs" / "gan_judge.py")
    config.override(made, WORDS)
    return made


@pytest.fixture(scope="module")
def data() -> Data:
    section = recipe().data
    return splits.build(section, section.table())


def backwards(path: Path, data: Data, *, count: int = 12) -> Path:
    """A version whose labels run against the data's, by a generator of its train split."""
    return write_version(path, dict.fromkeys(reversed(data.class_names), count), seen=data.train_images())


def test_features_are_those_of_evaluation_and_labels_those_of_the_data(tmp_path: Path, data: Data):
    path, cache = backwards(tmp_path / "A", data), FeatureCache(tmp_path / "cache")
    judged = see(recipe(), [path], runtime=CPU, cache=cache)
    model = starting_model(recipe(), num_classes=2, runtime=CPU)
    for part in (judged.train, judged.val, judged.test, judged.versions[0].images):
        rows = extract(part.samples, source=part.source, classifier=model, runtime=CPU)
        assert np.array_equal(part.features, rows.values.numpy())
    assert (judged.train.samples, judged.test.samples) == (data.train, data.test)
    (version,) = judged.versions
    assert (version.name, len(version.images)) == ("A", 24)
    for sample in version.images.samples:
        assert data.class_names[sample.label] in sample.path
    again = see(recipe(), [path], runtime=CPU, cache=cache)
    assert np.array_equal(again.versions[0].images.features, version.images.features)


def test_the_extractor_is_named_by_the_weights_before_the_head(data: Data):
    judge = extractor_of(starting_model(recipe(), num_classes=2, runtime=CPU))
    assert judge.name == "timm/test_resnet at 32 px"
    tuned = recipe()
    tuned.seed, tuned.tuning = 5, Lora()
    assert extractor_of(starting_model(tuned, num_classes=7, runtime=CPU)) == judge
    model = starting_model(recipe(), num_classes=2, runtime=CPU)
    next(model.parameters()).data += 1e-3
    with pytest.raises(DataError, match="scores by different extractors cannot be compared"):
        judge.require_same(extractor_of(model))


def test_a_generator_that_saw_test_or_val_is_refused(tmp_path: Path, data: Data):
    seen = [*data.train_images(), data.image_ids[data.test[0].path]]
    path = write_version(tmp_path / "A", dict.fromkeys(data.class_names, 2), seen=seen)
    with pytest.raises(DataError, match=r"trained on images that are to judge: got 1 of test"):
        see(recipe(), [path], runtime=CPU, cache=FeatureCache(tmp_path / "cache"))


def test_a_version_of_which_nothing_was_kept_is_named(tmp_path: Path, data: Data):
    path = write_version(tmp_path / "A", dict.fromkeys(data.class_names, 0), seen=data.train_images(), refused=2)
    with pytest.raises(DataError, match=r"no image of .*A was kept: got none of 4; expected one or more; generate"):
        see(recipe(), [path], runtime=CPU, cache=FeatureCache(tmp_path / "cache"))


def test_classes_of_which_nothing_was_kept_are_named(tmp_path: Path, data: Data):
    counts = dict(zip(data.class_names, (3, 0), strict=True))
    path = write_version(tmp_path / "A", counts, seen=data.train_images(), refused=2)
    notes = see(recipe(), [path], runtime=CPU, cache=FeatureCache(tmp_path / "cache")).notes()
    assert notes[0] == f"A: No image was kept of 1 of the 2 classes: {data.class_names[1]}."


def test_what_the_recipe_mixes_in_does_not_judge(tmp_path: Path, data: Data):
    path, mixed = backwards(tmp_path / "A", data), recipe()
    mixed.data.synthetic = str(path)
    judged = see(mixed, [path], runtime=CPU, cache=FeatureCache(tmp_path / "cache"))
    assert judged.train.samples == data.train


def test_versions_of_one_name_are_called_by_their_paths():
    assert version_names([Path("gen/A"), Path("gen/B")]) == ["A", "B"]
    assert version_names([Path("gen/A"), Path("old/A")]) == ["gen/A", "old/A"]


def test_the_command_leaves_a_page_and_numbers(tmp_path: Path, data: Data, capsys: pytest.CaptureFixture[str]):
    paths = [str(backwards(tmp_path / "A", data, count=12)), str(backwards(tmp_path / "B", data, count=14))]
    out = tmp_path / "out"
    for looks in (1, 2):
        assert main_gan.main(["--quality", *paths, "--out", str(out), *WORDS]) == 0
        shown = capsys.readouterr().out
        assert shown.splitlines()[-1] == str(out / "quality.html")
        content = json.loads((out / "quality.json").read_text())
        assert content["test_evaluations"] == looks
    assert [version["n"] for version in content["versions"]] == [24, 24]
    assert {version["given"] for version in content["versions"]} == {24, 28}
    assert content["identity"] == data.identity()
    assert "A and B cannot be told apart" in shown or "B and A cannot be told apart" in shown
    assert "28 held-out images cannot tell copies" in Page((out / "quality.html").read_text()).text
    assert not (out / "features").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "--quality of no version: got none; expected folders that --gen wrote; name one or more"),
        (["gen/none"], "gen/none holds no generated images: got no such folder"),
        (["gen/A", "--resume"], "--quality takes no such option: got --resume"),
        (["gen/A", "--per-class", "3"], "only --gen takes these options: got --per-class"),
        (["gen/A", "--config", str(ROOT / "configs" / "gan.py")], "config() returned no Recipe: got GanRecipe"),
        (["gen/A", "data.imagesize=3"], "data.imagesize"),
    ],
)
def test_a_wrong_command_gets_one_message(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    assert main_gan.main(["--quality", *words, "--out", str(tmp_path / "out")]) == 2
    shown = capsys.readouterr().err
    assert message in shown
    assert "Traceback" not in shown


def test_it_is_one_thing_at_a_time(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as stopped:
        main_gan.main(["--quality", "--verdict", "gen/A"])
    assert stopped.value.code == 2
    assert "argument --verdict: not allowed with argument --quality" in capsys.readouterr().err


def test_a_dry_run_reads_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.chdir(tmp_path)
    assert main_gan.main(["--quality", "gen/A", "gen/B", "--dry-run", *WORDS]) == 0
    shown = capsys.readouterr().out
    assert "name='gan_judge'" in shown
    assert "versions: gen/A, gen/B" in shown
    assert list(tmp_path.iterdir()) == []
