"""`main_gan.py --verdict` as a user meets it: what it leaves, going on, and one message for every wrong input."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_recipe import CLASSES, write_images
from versions import write_version

import main_gan
from finegrain.data import splits
from finegrain.data.base import Data
from finegrain.data.folder import ImageFolder
from finegrain.engine.interrupt import Interrupted
from finegrain.gan import learners
from finegrain.metrics.benefit import ARMS

CONFIG = """
from tiny_recipe import config as tiny
from finegrain.data.transforms import AugmentConfig
from finegrain.tuning.{module} import {tuning}
def config():
    recipe = tiny()
    recipe.data.root = {root!r}
    recipe.augment = AugmentConfig(preset="none")
    recipe.tuning = {tuning}()
    return recipe
"""
Go = Callable[..., int]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_images(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def seen(images: Path) -> list[str]:
    section = ImageFolder(root=str(images))
    return splits.build(section, section.table()).train_images()


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory, seen: list[str]) -> Path:
    """Noise under the names of the classes."""
    return write_version(tmp_path_factory.mktemp("gen") / "A", dict.fromkeys(CLASSES, 6), seen=seen, refused=2)


@pytest.fixture(scope="module")
def go(tmp_path_factory: pytest.TempPathFactory, images: Path) -> Go:
    folder = tmp_path_factory.mktemp("configs")
    for module, tuning in (("head", "Head"), ("full", "Full")):
        text = CONFIG.format(module=module, tuning=tuning, root=str(images))
        (folder / f"{module}.py").write_text(text)

    def call(out: Path, *words: str, by: str = "head") -> int:
        return main_gan.main(["--verdict", "--config", str(folder / f"{by}.py"), "--out", str(out), *words])

    return call


def content(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "verdict.json").read_text())
    return found


def figures(out: Path) -> dict[str, Any]:
    """All that does not tell the time, or how often test was looked at."""
    return {key: value for key, value in content(out).items() if key not in ("seconds_by_phase", "test_evaluations")}


@pytest.fixture(scope="module")
def heads(tmp_path_factory: pytest.TempPathFactory, go: Go, version: Path) -> Path:
    out = tmp_path_factory.mktemp("heads") / "out"
    assert go(out, str(version), "fractions=0.3,0.5") == 0
    return out


def test_heads_give_a_page_with_every_arm(heads: Path, version: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = content(heads)
    assert found["verdict"] in ("no evidence", "hurts")
    assert [row["arm"] for row in found["arms"]] == list(ARMS)
    assert {row["steps"] for row in found["arms"]} == {20}
    share = found["fraction"]
    added = {0.3: 6, 0.5: 15}[share]  # of 15 real images, 5 a class
    sizes = [(row["images"], row["added"]) for row in found["arms"]]
    assert sizes == [(15, 0), *[(15 + added, added)] * 3, (18, 18)]
    assert [row["fraction"] for row in found["candidates"]] == [0.3, 0.5]
    first = found["classes"][0]
    assert (first["name"], first["n_real"], first["asked"], first["kept"], first["n_test"]) == (CLASSES[0], 5, 8, 6, 1)
    assert first["copies"] is None  # Nine held-out images cannot tell.
    assert (found["seeds"], found["test_images"], found["test_evaluations"]) == (5, 3, 1)
    assert (heads / "verdict.html").read_text().count("<tr>") == 1 + 1 + len(ARMS) + len(CLASSES)
    assert not (heads / "features").exists()
    assert found["version"] == str(version)


def test_the_same_command_gives_the_same_and_more_seeds_go_on(heads: Path, go: Go, version: Path) -> None:
    before = figures(heads)
    assert go(heads, str(version), "fractions=0.3,0.5") == 0
    assert figures(heads) == before
    assert content(heads)["test_evaluations"] == 2
    assert go(heads, str(version), "fractions=0.3,0.5", "seeds=6") == 0
    assert content(heads)["seeds"] == 6


def test_a_keystroke_while_heads_are_fitted_says_how_to_go_on(
    heads: Path,
    go: Go,
    version: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    learn, learned = learners.HeadLearner.learn, list[str]()

    def stopped(self: learners.HeadLearner, name: str, data: Data, *, seed: int) -> learners.Learned:
        learned.append(name)
        if len(learned) == 3:
            raise KeyboardInterrupt
        return learn(self, name, data, seed=seed)

    monkeypatch.setattr(learners.HeadLearner, "learn", stopped)
    words = (str(version), "fractions=0.3,0.5", "seeds=6")
    assert go(tmp_path / "out", *words) == 130
    assert capsys.readouterr().err == (
        "finegrain: stopped by SIGINT at the verdict; features and trainings by the whole recipe are kept, heads are "
        f"fitted anew: the same command with --out {tmp_path / 'out'} goes on\n"
    )
    assert any((tmp_path / "out" / "features").rglob("*"))
    assert go(tmp_path / "out", *words) == go(heads, *words) == 0
    assert figures(tmp_path / "out")["arms"] == figures(heads)["arms"]


def test_fine_tuning_goes_on_with_what_is_missing(
    go: Go, version: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trained: list[str] = []
    build = learners.build_model

    def noted(recipe: Any, **parts: Any) -> Any:
        if len(trained) == 7:
            trained.append("stopped")
            raise Interrupted(15, where="the eighth training")
        trained.append("one")
        return build(recipe, **parts)

    monkeypatch.setattr(learners, "build_model", noted)
    words = (str(version), "train.epochs=1", "schedule.warmup_epochs=0")
    assert go(tmp_path, *words, by="full") == 143
    stopped = f"stopped by SIGTERM at the eighth training; .* the same command with --out {tmp_path} goes on"
    assert re.search(stopped, capsys.readouterr().err)
    assert not (tmp_path / "verdict.json").exists()
    assert not (tmp_path / "test_evaluations.json").exists()
    assert go(tmp_path, *words, by="full") == 0
    assert trained.count("one") == 5 * len(ARMS)
    found = content(tmp_path)
    assert {row["steps"] for row in found["arms"]} == {4}
    assert {row["strength"] for row in found["arms"]} == {""}
    runs = {path.name for path in (tmp_path / "runs").iterdir()}
    assert {"real-seed-0", "synthetic-0.3-seed-4", "synthetic-only-seed-2"} < runs
    assert len(runs) == 25
    assert "4 optimiser steps in all arms" in " ".join(found["protocol"])


def refused(capsys: pytest.CaptureFixture[str], code: int) -> str:
    """The one message of a refused verdict."""
    assert code == 2
    shown = capsys.readouterr().err
    assert shown.startswith("finegrain: ")
    assert "Traceback" not in shown
    return shown


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["seeds=4"], "seeds: got 4; expected at least 5"),
        (["seed=x"], "seed"),
        (["fractions=1.5"], "fractions"),
        (["fraction=0.5"], "fractions"),
        (["--resume"], "--verdict takes no such option: got --resume"),
        (["--per-class", "3"], "only --gen takes these options: got --per-class"),
        (["fractions=0.9"], "has too few images"),
        (["data.synthetic=gen/B"], "the arm of real images has none: got data.synthetic=gen/B"),
        (["other"], "--verdict is on one version"),
        (["--classes", "x"], "only --gen takes these options"),
    ],
)
def test_wrong_words_have_one_message(
    words: list[str], message: str, go: Go, version: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in refused(capsys, go(tmp_path / "out", str(version), *words))


def test_no_version_is_no_question(go: Go, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "--verdict is on one version: got none" in refused(capsys, go(tmp_path / "out"))
    assert "holds no generated images" in refused(capsys, go(tmp_path / "out", str(tmp_path)))


def test_a_version_that_cannot_be_used_is_refused(
    go: Go, images: Path, seen: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = write_version(tmp_path / "other", dict.fromkeys(("auk", "dodo"), 6), seen=seen)
    assert "has other classes" in refused(capsys, go(tmp_path / "out", str(other)))
    few = write_version(tmp_path / "few", dict.fromkeys(CLASSES[:2], 6), seen=seen)
    assert "the version lacks classes: got none of crane (1 in all)" in refused(
        capsys, go(tmp_path / "full", str(few), by="full")
    )
    section = ImageFolder(root=str(images))
    data = splits.build(section, section.table())
    leak = [*seen, data.image_ids[data.test[0].path]]
    leaking = write_version(tmp_path / "leaking", dict.fromkeys(CLASSES, 6), seen=leak)
    assert "was trained on images that are to judge" in refused(capsys, go(tmp_path / "out", str(leaking)))


def test_classes_tell_what_the_filter_refused_and_heads_do_without_some_classes(
    go: Go, seen: list[str], tmp_path: Path
) -> None:
    settings = {"filter": {"knows_its_train_images": True, "taught_by": "gen/A"}}
    path = write_version(tmp_path / "B", dict.fromkeys(CLASSES[:2], 6), seen=seen, refused=2, **settings)
    rows = [json.loads(line) for line in (path / "manifest.jsonl").read_text().splitlines()]
    reasons = iter(["filter: 0.2 for its class", "same as auk/00000.png"] * 2)
    rows = [row | {"reason": None if row["kept"] else next(reasons)} for row in rows]
    (path / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert go(tmp_path / "out", str(path)) == 0
    classes = content(tmp_path / "out")["classes"]
    assert [(row["asked"], row["kept"]) for row in classes] == [(8, 6), (8, 6), (None, 0)]
    assert [row["passed"] for row in classes] == [pytest.approx(7 / 8), pytest.approx(7 / 8), None]
    assert (classes[2]["fidelity"], classes[2]["diversity"]) == (None, None)
    assert "itself learned from generated ones, gen/A" in " ".join(content(tmp_path / "out")["notes"])


def test_another_verdict_has_another_directory(
    heads: Path, go: Go, seen: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = write_version(tmp_path / "B", dict.fromkeys(CLASSES, 7), seen=seen)
    assert "verdict_settings.json" in refused(capsys, go(heads, str(other), "fractions=0.3,0.5"))


def test_a_dry_run_reads_nothing(go: Go, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert go(tmp_path / "out", "gen/none", "--dry-run", "seeds=7") == 0
    shown = capsys.readouterr().out
    assert "seeds=7" in shown
    assert "gen/none" in shown
    assert not (tmp_path / "out").exists()
