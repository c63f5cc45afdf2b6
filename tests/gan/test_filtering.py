"""`--gen --filter`: what a classifier does not take for its class is not kept, and the rows say so."""

import errno
import json
import os
import signal
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_recipe
import torch
from test_generate import NAMES, SEEN, files, go, rows, trained

from finegrain import config
from finegrain.data.base import Sample
from finegrain.data.feed import ImageFeed
from finegrain.data.generated import read_version
from finegrain.data.image import FileSource
from finegrain.data.loader import Loader
from finegrain.data.transforms import eval_transform
from finegrain.engine.evaluate import predict
from finegrain.gan.version import Made, Place, Version
from finegrain.models.config import ModelConfig
from finegrain.models.weights import load_folder, save_folder
from finegrain.runtime import RuntimeConfig

OTHER_ORDER = ("wren", "auk", "F/A-18")
WORDS = ("--per-class", "12", "--filter")


def classifier(
    folder: Path,
    *,
    names: tuple[str, ...] = OTHER_ORDER,
    seen: Iterable[str] | None = (),
    extra: dict[str, Any] | None = None,
) -> Path:
    """A model folder that gives decided, random answers."""
    torch.manual_seed(0)
    model = ModelConfig(name="timm/test_resnet", image_size=32).build(num_classes=len(names), train_size=None)
    for parameter in model.get_submodule(model.head_name).parameters():
        torch.nn.init.normal_(parameter, std=30.0)
    folder.mkdir()
    save_folder(model, folder, class_names=names, extra=extra)
    if seen is not None:
        (folder / "train_images.txt").write_text("".join(f"{line}\n" for line in seen))
    return folder


def message(code: int, capsys: pytest.CaptureFixture[str]) -> str:
    assert code == 2
    return capsys.readouterr().err


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("run") / "gan")


@pytest.fixture(scope="module")
def chooser(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return classifier(tmp_path_factory.mktemp("filter") / "model", seen=["1" * 16])


@pytest.fixture(scope="module")
def filtered(run: Path, chooser: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("gen") / "filtered"
    assert go(run, *WORDS, chooser, "--out", out) == 0
    return out


def test_what_is_most_probably_its_class_is_kept_with_the_probability_that_evaluation_gives(
    run: Path,
    chooser: Path,
    filtered: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert go(run, *WORDS, chooser, "filter_threshold=0", "--out", tmp_path / "all") == 0
    assert "Asked 36, kept 36" in capsys.readouterr().out
    every = rows(tmp_path / "all")
    samples = [Sample(path=row["path"], label=OTHER_ORDER.index(row["class"])) for row in every]
    model, _ = load_folder(chooser)
    loader = Loader(
        samples,
        source=FileSource(tmp_path / "all", 10_000),
        transform=eval_transform(model.preprocessing),
        batch_size=7,
        seed=0,
        train=False,
    )
    runtime = RuntimeConfig(device="cpu", precision="fp32").build()
    said = predict(
        model, ImageFeed(loader, preprocessing=model.preprocessing, runtime=runtime), runtime=runtime, title=""
    )
    scores = said.probabilities[np.arange(36), said.labels]
    np.testing.assert_allclose([row["filter_score"] for row in every], scores, atol=2e-6)
    found = rows(filtered)
    right = said.probabilities.argmax(axis=1) == said.labels
    assert [row["kept"] for row in found] == right.tolist()
    assert 0 < right.sum() < 36
    assert [row["filter_score"] for row in found] == [row["filter_score"] for row in every]
    written = {name for name in files(filtered) if name.endswith(".png")}
    assert written == {row["path"] for row in every if right[every.index(row)]}
    lost = next(row for row in found if not row["kept"])
    assert lost["path"] is None
    assert lost["reason"].startswith(f"filter: {lost['filter_score']:.3f} for its class; most probably ")


def test_asked_and_kept_are_said_of_each_class(
    run: Path,
    chooser: Path,
    filtered: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = files(filtered)
    assert go(run, *WORDS, chooser, "--out", filtered) == 0  # nothing is missing
    assert files(filtered) == before
    shown = capsys.readouterr().out
    for name in NAMES:
        kept = sum(row["kept"] for row in rows(filtered) if row["class"] == name)
        words = f"  {name}: asked 12, kept {kept} ({12 - kept} refused by the filter)"
        assert (words in shown) == (kept < 12)


@pytest.mark.parametrize("fault", ["signal", "full disk"])
def test_an_interrupted_version_goes_on_to_the_same_bytes(
    run: Path,
    chooser: Path,
    filtered: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fault: str,
) -> None:
    out, add, fsync = tmp_path / "out", Version.add, os.fsync

    def stopped(self: Version, place: Place, made: Made) -> None:
        if len(self.rows) == 15:
            if fault == "signal":
                os.kill(os.getpid(), signal.SIGTERM)
            else:
                patched.setattr(os, "fsync", full)
        add(self, place, made)

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(Version, "add", stopped)
        assert go(run, *WORDS, chooser, "--out", out) == (143 if fault == "signal" else 2)
    assert os.fsync is fsync
    assert len(rows(out)) in (15, 16)
    assert {row["path"] for row in rows(out) if row["kept"]} <= set(files(out))
    assert go(run, *WORDS, chooser, "--out", out) == 0
    assert files(out) == files(filtered)


def test_the_version_names_what_its_filter_saw_as_well(
    run: Path,
    filtered: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    version = read_version(filtered)
    assert version.train_images == {*SEEN, "1" * 16}
    assert version.filter_known
    unknown = classifier(tmp_path / "unknown", seen=None)
    assert go(run, *WORDS, unknown, "--out", tmp_path / "out") == 0
    assert f"Which images {unknown} was trained on is not known" in capsys.readouterr().out
    version = read_version(tmp_path / "out")
    assert version.train_images == set(SEEN)
    assert not version.filter_known


@pytest.mark.parametrize("synthetic", ["gen/A", None])
def test_a_filter_that_learned_from_generated_images_is_named(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], synthetic: str | None
) -> None:
    recipe = tiny_recipe.config()
    recipe.data.synthetic = synthetic
    taught = classifier(tmp_path / "taught", extra={"recipe": config.dump(recipe)})
    assert go(run, *WORDS, taught, "--out", tmp_path / "out") == 0
    said = f"The filter {taught} itself learned from generated images, gen/A"
    assert (said in capsys.readouterr().out) == (synthetic is not None)
    settings = json.loads((tmp_path / "out" / "generation.json").read_text())["filter"]
    assert settings.get("taught_by") == synthetic
    assert read_version(tmp_path / "out").filter_taught_by == synthetic


@pytest.mark.parametrize("extra", [{}, {"recipe": 5}, {"recipe": "import os"}, {"recipe": "def f(:"}])
def test_of_a_filter_without_a_recipe_nothing_is_known(run: Path, tmp_path: Path, extra: dict[str, Any]) -> None:
    foreign = classifier(tmp_path / "foreign", extra=extra)
    assert go(run, *WORDS, foreign, "--out", tmp_path / "out") == 0
    assert read_version(tmp_path / "out").filter_taught_by is None


def test_classes_that_the_filter_empties_are_named_at_the_end(
    run: Path, chooser: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for threshold in ("1", "0"):
        out = tmp_path / threshold
        assert go(run, *WORDS, chooser, f"filter_threshold={threshold}", "--out", out) == 0
        emptied = tuple(name for name in NAMES if not any(row["kept"] and row["class"] == name for row in rows(out)))
        assert len(emptied) == (2 if threshold == "1" else 0)
        said = f"No image was kept of 2 of the 3 classes: {', '.join(emptied)}."
        assert (said in capsys.readouterr().out) == (threshold == "1")
        assert read_version(out).emptied == emptied


def test_another_filter_is_another_version(
    run: Path,
    chooser: Path,
    filtered: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = files(filtered)
    for words in ((chooser, "filter_threshold=0.5"), (classifier(tmp_path / "c", seen=None),)):
        assert "filter" in message(go(run, *WORDS, *words, "--out", filtered), capsys)
    assert "filter" in message(go(run, "--per-class", 12, "--out", filtered), capsys)
    assert files(filtered) == before


def test_a_filter_of_other_classes_and_none_at_all_are_one_message(
    run: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    other = classifier(tmp_path / "other", names=("auk", "F/A-18", "tern"))
    out = ("--out", tmp_path / "out")
    shown = message(go(run, *WORDS, other, *out), capsys)
    assert f"the classes of the filter {other} are not the generator's: got 'tern', which only the filter" in shown
    shown = message(go(run, *WORDS, tmp_path / "none", *out), capsys)
    assert "none holds no model: got no such directory" in shown
    shown = message(go(run, *WORDS, run, *out), capsys)
    assert f"{run} holds no model: got a run that kept none; expected a classifier" in shown
    shown = message(go(run, "filter_threshold=0.5", *out), capsys)
    assert "a threshold of no filter: got 0.5; expected --filter as well" in shown
    assert not (tmp_path / "out").exists()


def test_images_that_are_not_finite_have_no_score(chooser: Path, tmp_path: Path) -> None:
    broken = trained(tmp_path / "run", broken=1)
    assert go(broken, *WORDS, chooser, "--out", tmp_path / "out") == 0
    found = [row for row in rows(tmp_path / "out") if row["class"] == NAMES[1]]
    assert {(row["filter_score"], row["reason"]) for row in found} == {(None, "not finite")}
    assert json.loads((tmp_path / "out" / "generation.json").read_text())["filter"]["threshold"] is None
