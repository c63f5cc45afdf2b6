"""The command `ensemble` on tiny images: who can be a member, what is averaged, and that test is looked at once."""

import contextlib
import csv
import dataclasses
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import main
from finegrain import config
from finegrain.data import splits
from finegrain.data.transforms import AugmentConfig
from finegrain.engine import evaluate
from finegrain.engine.checkpoint import read_course
from finegrain.ensembles.members import Reader
from finegrain.metrics.ensembles import average
from finegrain.models.config import ModelConfig
from finegrain.models.weights import load_folder, save_folder
from finegrain.recipe import Recipe, build_cache, build_model, fit
from finegrain.repeated.crossval import EVALUATION, Protocol, make_plan, read_finished
from finegrain.repeated.judges import judge_cells
from finegrain.runtime import Stopwatch
from finegrain.storage import RunDirectory
from finegrain.tuning.full import Full
from finegrain.tuning.head import Head
from tests import tiny_recipe


def tiny(root: Path, seed: int = 0) -> Recipe:
    """One epoch from the weights that lie beside the images."""
    recipe = tiny_recipe.config()
    recipe.seed, recipe.tuning, recipe.train.epochs, recipe.schedule.warmup_epochs = seed, Full(), 1, 0.0
    recipe.data.root, recipe.model.weights = str(root / "images"), str(root / "weights")
    return recipe


def head(root: Path) -> Recipe:
    """Nothing but a head, on features computed once."""
    return dataclasses.replace(tiny(root), name="head", tuning=Head(), augment=AugmentConfig(preset="none"))


def train(recipe: Recipe, path: Path) -> None:
    """As the command does, without its report."""
    runtime, table = recipe.runtime.build(), recipe.data.table()
    model, data = build_model(recipe, num_classes=3, runtime=runtime), splits.build(recipe.data, table)
    with RunDirectory(path, resume=False) as directory:
        cache = build_cache(recipe.runtime, run=path)
        fit(recipe, model, data=data, directory=directory, runtime=runtime, cache=cache, clock=Stopwatch())


def cross_validate(recipe: Recipe, protocol: Protocol, path: Path) -> None:
    """As the command does, without its report."""
    runtime, table = recipe.runtime.build(), recipe.data.table()
    model, data = build_model(recipe, num_classes=3, runtime=runtime), splits.build(recipe.data, table)
    with RunDirectory(path, resume=False) as directory:
        judge_cells(
            recipe,
            model,
            plan=make_plan(recipe, protocol, data),
            settings=config.flatten(protocol),
            file=EVALUATION,
            columns=["cell"],
            row=lambda cell, _: [cell],
            data=data,
            runtime=runtime,
            directory=directory,
        )


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny images, two runs of one network from the same weights, and evaluations of both kinds."""
    root = tmp_path_factory.mktemp("trained")
    tiny_recipe.write_images(root / "images")
    network = ModelConfig(name="timm/test_resnet", image_size=32).build(num_classes=3)
    save_folder(network, root / "weights", class_names=tiny_recipe.CLASSES)
    for seed in (1, 2):
        train(tiny(root, seed), root / f"run-{seed}")
    cross_validate(tiny(root), Protocol(folds=2, seeds=1), root / "runs")
    cross_validate(head(root), Protocol(on="test", seeds=2), root / "heads")
    for recipe in (tiny(root), head(root)):
        (root / f"{recipe.name}.py").write_text(config.dump(recipe))
    (root / "run-1/config.py").write_text("raise SystemError('a member is no config file')")
    return root


def command(trained: Path, name: str, words: tuple[str, ...], out: str) -> int:
    found = [str(trained / word) if "=" not in word and "/" not in word else word for word in words]
    return main.main(["ensemble", "--config", str(trained / f"{name}.py"), "--out", out, *found])


@pytest.fixture(scope="module")
def made(trained: Path) -> Path:
    """The ensemble of the two runs; `said.txt` holds what was printed, `seen.json` what was predicted and when."""
    out = trained / "out"
    before = {path: path.stat().st_mtime_ns for path in trained.glob("run-*/**/*")}
    seen: list[tuple[str, bool]] = []
    predict = evaluate.predict

    def note(*arguments, title, **keywords):
        seen.append((title, (out / "test_evaluations.json").exists()))
        return predict(*arguments, title=title, **keywords)

    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()) as said:
        patch.setattr("finegrain.ensembles.members.predict", note)
        assert command(trained, "tiny", ("run-1", "run-2"), str(out)) == 0
    (out / "said.txt").write_text(said.getvalue())
    (out / "seen.json").write_text(json.dumps(seen))
    assert {path: path.stat().st_mtime_ns for path in trained.glob("run-*/**/*")} == before
    return out


@pytest.fixture
def go(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Make an ensemble in `out`: `go("tiny", member, ..., *words)`."""
    monkeypatch.chdir(tmp_path)
    return lambda name, *words: command(trained, name, words, "out")


def numbers(out: Path = Path("out")) -> dict:
    return json.loads((out / "metrics.json").read_text())


def test_the_report_tells_of_every_member(made, trained):
    shown = (made / "said.txt").read_text()
    assert "tiny: average of probabilities of 2 members: test top-1" in shown
    assert shown.endswith(f"{made}/ensemble.html\n")
    assert {path.name for path in made.iterdir()} >= {
        "ensemble.html", "ensemble.md", "metrics.json", "predictions.csv", "soup", "config.py", "ensemble.json",
    }  # fmt: skip
    for row, name in zip(numbers(made)["members"], ("run-1", "run-2"), strict=True):
        course = read_course(RunDirectory(trained / name, resume=True))
        assert row["name"] == name
        assert row["val"]["loss"] == pytest.approx(course.history[course.kept_epoch]["eval_loss"], rel=1e-5)


def test_what_the_members_say_is_averaged(made, trained):
    recipe = tiny(trained)
    data = splits.build(recipe.data, recipe.data.table())
    cache = build_cache(recipe.runtime, run=made)
    reader = Reader(recipe=recipe, data=data, runtime=recipe.runtime.build(), cache=cache)
    said = [member.see("test").probabilities for member in reader.read([trained / "run-1", trained / "run-2"])]
    assert not np.allclose(*said, rtol=1e-3)
    expected = average(np.array(said), "probabilities")
    with (made / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["path"] for row in rows] == [sample.path for sample in data.test]
    assert [row["class_1"] for row in rows] == [data.class_names[k] for k in expected.argmax(1)]
    assert [float(row["probability_1"]) for row in rows] == pytest.approx(expected.max(1), rel=1e-4)


def test_the_soup_is_a_model_folder_of_averaged_weights(made, trained):
    soup, names = load_folder(made / "soup")
    assert names == tiny_recipe.CLASSES
    mixed = json.loads((made / "soup/config.json").read_text())["extra"]["members"]
    states = [load_folder(max((trained / name / "checkpoints").glob("best-*")))[0].state_dict() for name in mixed]
    for key, value in soup.state_dict().items():
        if value.is_floating_point():
            expected = np.mean([state[key].numpy() for state in states], axis=0)
            np.testing.assert_allclose(value.numpy(), expected, rtol=1e-5, atol=1e-6)
    found = numbers(made)
    assert found["soup"]["val"]["top1"] >= max(row["val"]["top1"] for row in found["members"])
    assert found["soup_words"].startswith(f"The soup is made of {', '.join(mixed)}, in this order.")


def test_test_is_looked_at_once_by_all_and_counted_before(made):
    seen = json.loads((made / "seen.json").read_text())
    assert all(counted == title.endswith("test") for title, counted in seen)
    assert [title for title, counted in seen if counted] == ["run-1, test", "run-2, test", "soup, test"]
    assert numbers(made)["test_evaluations"] == 1


def test_a_second_look_is_counted_and_another_ensemble_refused(go, made, capsys):
    shutil.copytree(made, "out")
    assert go("tiny", "run-1", "run-2") == 0
    assert numbers()["test_evaluations"] == 2
    assert "looked at 2 times" in Path("out/ensemble.html").read_text()
    for words in (["run-2", "run-1"], ["run-1", "run-2", "average=logits"]):
        assert go("tiny", *words) == 2
        assert "is of another run" in capsys.readouterr().err
    Path("out/ensemble.json").unlink()
    assert go("tiny", "run-1", "run-2") == 2
    assert "holds a run already" in capsys.readouterr().err


def test_runs_of_an_evaluation_are_members_without_a_val_split(go, capsys):
    assert go("tiny", "runs", "average=logits") == 0
    assert "average of logits of 2 members" in capsys.readouterr().out
    found = numbers()
    assert found["average"] == "logits"
    assert [row["name"] for row in found["members"]] == ["runs/seed-0-fold-0", "runs/seed-0-fold-1"]
    assert all(row["val"] is None for row in [*found["members"], *found["averages"].values()])
    assert found["soup"] is None
    assert found["soup_words"] == "No soup: the members share no val split that could choose."
    assert not Path("out/soup").exists()


def test_heads_are_fitted_again_as_they_were(go, trained):
    assert go("head", "heads", "run-1") == 0
    _, results = read_finished(trained / "heads")
    found = numbers()
    assert [row["name"] for row in found["members"]] == [*(f"heads/{cell}" for cell in results), "run-1"]
    for row, result in zip(found["members"], results.values(), strict=False):
        judged = result.judged
        likelihoods = judged.probabilities[np.arange(len(judged.labels)), judged.labels]
        assert row["test"]["loss"] == pytest.approx(-np.log(likelihoods).mean(), rel=1e-5)
    assert "No soup: heads on features have no weights on the disk." in found["soup_words"]
    assert not Path("out/features").exists()


def refused(capsys: pytest.CaptureFixture[str], code: int) -> str:
    assert code == 2
    shown = capsys.readouterr().err
    assert shown.startswith("finegrain: ")
    assert "Traceback" not in shown
    assert not Path("out/test_evaluations.json").exists()
    return shown


def test_who_cannot_be_a_member_is_told_why(go, capsys, trained, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "none/checkpoints").mkdir(parents=True)
    for words, message in (
        ([], "no members: got none"),
        (["run-1"], "no ensemble: got 1; expected two or more members"),
        (["run-1", "run-1"], "a member twice"),
        (["run-1", f"{tmp_path}/empty"], "holds no member: got neither checkpoints nor evaluation.json"),
        (["run-1", f"{tmp_path}/gone"], "holds no member: got no such directory"),
        (["run-1", f"{tmp_path}/none"], "has no best model"),
        (["run-1", "run-2", "average=votes"], "average cannot take this value: got votes"),
    ):
        assert message in refused(capsys, go("tiny", *words))


def test_other_classes_and_other_splits_are_refused(go, capsys, trained, tmp_path):
    images = shutil.copytree(trained / "images", tmp_path / "images")
    (images / "train/auk/4.png").rename(images / "val/auk/4.png")
    assert "val split" in refused(capsys, go("tiny", "run-1", "run-2", f"data.root={images}"))
    assert "val split" in refused(capsys, go("tiny", "runs", f"data.root={images}"))
    for part in images.iterdir():
        (part / "auk").rename(part / "ant")
    assert "'auk' of 3" in refused(capsys, go("tiny", "run-1", "run-2", f"data.root={images}"))
    assert "number 0 was 'auk'" in refused(capsys, go("tiny", "runs", f"data.root={images}"))


def test_heads_of_another_recipe_are_refused(go, capsys):
    shown = refused(capsys, go("head", "heads", "model.image_size=64"))
    assert "model.image_size: 32 was saved, 64 is asked for" in shown
    assert "give the config and the keys of that crossval" in shown


def test_cells_that_saw_the_test_split_are_refused(go, capsys, trained, tmp_path):
    """Where no test split is shipped, the one that is carved out is held out in turn like any other image."""
    for path in (trained / "images").rglob("*.png"):
        target = tmp_path / "pool" / path.parent.name / f"{path.parent.parent.name}-{path.name}"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    recipe = head(trained)
    recipe.data.root = str(tmp_path / "pool")
    cross_validate(recipe, Protocol(folds=2, seeds=1), tmp_path / "folds")
    message = refused(capsys, go("head", "./folds", f"data.root={tmp_path}/pool"))
    assert "trained on images of the test split" in message
    assert "on=test" in message


def test_an_unfinished_evaluation_and_a_damaged_one_are_refused(go, capsys, trained, tmp_path):
    part = shutil.copytree(trained / "heads", tmp_path / "part")
    next((part / "cells").iterdir()).unlink()
    assert "is not finished: got 1 sound cells" in refused(capsys, go("head", f"{part}"))
    damaged = shutil.copytree(trained / "run-1", tmp_path / "damaged")
    file = max((damaged / "checkpoints").glob("best-*")) / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    assert "is damaged" in refused(capsys, go("tiny", "run-2", f"{damaged}"))
