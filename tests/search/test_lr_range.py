"""The command `lr-range` on tiny images: a curve, a rate, and nothing of a run."""

import csv
import itertools
import logging
import math
from collections.abc import Callable
from pathlib import Path

import pytest

import main
from finegrain.search.lr_range import Sweep
from tests import tiny_recipe

EASY = ["tuning.probe_first=false", "augment.preset=none", "augment.mixup=0", "loss.smoothing=0"]


@pytest.fixture
def go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """A range test on the tiny images: `go(out, *words)`."""
    tiny_recipe.write_images(tmp_path / "images")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.py").write_text(Path(tiny_recipe.__file__).read_text())
    return lambda out, *words: main.main(["lr-range", "--config", "tiny.py", "--out", out, *words])


def rows(out: str) -> list[dict[str, float]]:
    with Path(out, "lr_range.csv").open() as file:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]


def test_a_test_finds_a_rate_and_leaves_no_run(go, capsys):
    assert go("out", *EASY) == 0
    said = capsys.readouterr().out.splitlines()[-2:]
    assert "is where the loss falls fastest" in said[0]
    assert 1e-5 < float(said[0].partition("optim.lr=")[2].split()[0]) < 1
    assert said[1] == "out/lr_range.png"
    assert {path.name for path in Path("out").iterdir()} == {
        "checkpoints", "config.py", "lr_range.csv", "lr_range.png", "run.lock",
    }  # fmt: skip
    assert not list(Path("out/checkpoints").iterdir())


def test_the_rate_grows_by_one_factor_from_low_and_the_loss_ends_it(go):
    assert go("out", *EASY, "steps=40", "low=1e-6", "high=1e3") == 0
    found = rows("out")
    assert found[0]["lr"] == pytest.approx(1e-6)
    ratios = [math.log10(b["lr"] / a["lr"]) for a, b in itertools.pairwise(found)]
    assert ratios == pytest.approx([9 / 39] * len(ratios))
    assert 20 < len(found) < 40
    assert all(math.isfinite(row["loss"]) for row in found)


def test_the_same_command_gives_the_same_losses(go):
    """With everything on that draws random numbers; what only a run needs changes nothing."""
    few = ["steps=20", "high=1e-3"]
    assert go("one", *few) == go("two", *few, "train.max_steps=3", "train.save_steps=1") == 0
    assert rows("one") == rows("two")
    assert len(rows("one")) == 20


def test_where_the_loss_does_not_fall_no_rate_is_named(go, capsys):
    assert go("out", "steps=20", "low=1e-12", "high=1e-9") == 0
    assert "no rate can be suggested: from 1.0e-12 to 1.0e-09 the loss did not surely fall" in capsys.readouterr().out


def test_a_loss_that_still_falls_at_the_end_is_told(go, capsys):
    assert go("out", *EASY, "steps=60", "low=1e-5", "high=4e-4") == 0
    assert "it ends below its start: a greater high may show more" in capsys.readouterr().out


def test_a_rate_that_gives_no_finite_loss_ends_it(go, capsys):
    assert go("out", *EASY, "steps=20", "low=1e36", "high=1e38") == 0
    assert "no rate can be suggested" in capsys.readouterr().out


def test_a_head_is_tested_on_features_computed_once(go, caplog):
    caplog.set_level(logging.INFO)
    source = Path("tiny.py").read_text().replace("tuning=Full(probe_first=True)", "tuning=Head()")
    Path("tiny.py").write_text(source.replace("tuning.full import Full", "tuning.head import Head"))
    assert go("out", "augment.preset=none", "augment.mixup=0", "steps=20", "high=1e-3") == 0
    assert "run once an image" in caplog.text
    assert not Path("out/features").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["low=1", "high=0.1"], "low: got 1.0; expected less than high, 0.1"),
        (["steps=5"], "steps: got 5; expected 20 or more"),
        (["low=0"], "low is not allowed: got 0.0; expected a number > 0"),
        (["optim.lr=1e-4..1e-2"], "optim.lr cannot take this value: got 1e-4..1e-2"),
    ],
)
def test_wrong_words_are_refused(go, capsys, words: list[str], message: str):
    assert go("out", *words) == 2
    assert message in capsys.readouterr().err


def test_a_directory_with_a_run_is_refused(go, capsys):
    Path("out").mkdir()
    Path("out/config.py").write_text("")
    assert go("out", "steps=20") == 2
    assert "holds a run already" in capsys.readouterr().err


def test_the_rates_of_a_sweep():
    assert Sweep(low=1e-3, high=1e1, steps=5).rates() == pytest.approx([1e-3, 1e-2, 1e-1, 1.0, 1e1])
