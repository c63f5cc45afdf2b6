"""The command `tune` on tiny images: its trials, its resumption, the run with the best setting, and what is refused."""

import csv
import dataclasses
import json
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from forked import Forked

import main
from finegrain import config, recipe
from finegrain.data import splits
from finegrain.errors import InUseError
from finegrain.recipe import Recipe
from finegrain.search import budget
from tests import tiny_recipe

QUICK = ["train.epochs=1", "tuning.probe_first=false", "schedule.warmup_epochs=0"]
RANGES = ["optim.lr=1e-4..1e-1", "augment.preset=weak,medium,strong"]


@pytest.fixture
def go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Search on the tiny images: `go(out, *words)`."""
    tiny_recipe.write_images(tmp_path / "images")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.py").write_text(Path(tiny_recipe.__file__).read_text())
    return lambda out, *words: main.main(command(out, *words))


def command(out: str, *words: str) -> list[str]:
    return ["tune", "--config", "tiny.py", "--out", out, *QUICK, *RANGES, *words]


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> list[Recipe]:
    """The run with the best setting is left out; its recipes."""
    asked: list[Recipe] = []

    def note(best: Recipe, **_: Any) -> str:
        asked.append(best)
        raise InUseError

    monkeypatch.setattr("finegrain.search.tune.run", note)
    return asked


def trials(out: str) -> list[dict[str, str]]:
    """The rows of a finished search, but for what differs from one time to the next."""
    with Path(out, "trials.csv").open() as file:
        return [{key: row[key] for key in row.keys() - {"seconds"}} for row in csv.DictReader(file)]


def test_the_best_setting_is_trained_on_all_of_train_and_judged_once(go, capsys):
    assert go("out", "trials=2") == 0
    shown = capsys.readouterr().out.splitlines()[-4:]
    assert shown[0].startswith("the best of 2 trials: augment.preset=")
    best = max(trials("out"), key=lambda row: (float(row["val_top1"]), -float(row["val_loss"])))
    folder = Path("out", f"best-{best['trial']}")
    assert shown[2:] == [str(folder / "report.html"), "out/report.html"]
    ran = config.load(folder / "config.py")
    assert ran.optim.lr == float(best["optim.lr"])
    assert ran.augment.preset == best["augment.preset"]
    numbers = json.loads((folder / "metrics.json").read_text())
    assert (numbers["test_evaluations"], numbers["splits"]["train"]["count"]) == (1, 15)
    page = Path("out/report.html").read_text()
    assert f"{folder.name}/report.html" in page
    assert "looked at once" in page
    assert " ".join(shown[0].split(": ")[1:]) in page
    assert not list(Path("out/trials").glob("*/checkpoints/*"))
    assert go("out", "trials=2") == 0
    assert "nothing is left to do" in capsys.readouterr().out


def test_the_same_command_gives_the_same_trials_and_more_of_them_go_on(go, alone):
    assert go("one", "trials=3") == go("two", "trials=1") == 0
    assert trials("two") == trials("one")[:1]
    assert go("two", "trials=3") == 0
    assert trials("two") == trials("one")
    assert len({row["optim.lr"] for row in trials("one")}) == 3
    assert (float(trials("one")[0]["optim.lr"]), trials("one")[0]["augment.preset"]) == (3e-3, "strong")  # the recipe's
    assert alone[0] == alone[2]


def test_the_last_run_has_the_best_epochs_of_the_best_trial(go, alone, capsys):
    words = ["train.epochs=9", "epochs=6", "patience=1", "schedule.warmup_epochs=1", "train.monitor=last"]
    assert go("out", "trials=3", *words) == 0
    rows = trials("out")
    assert all(1 <= int(row["epochs"]) <= 6 for row in rows)
    assert any(int(row["epochs"]) == int(row["kept_epoch"]) + 2 for row in rows)  # one that waited in vain
    best = max(rows, key=lambda row: (float(row["val_top1"]), -float(row["val_loss"])))
    assert alone[0].train.epochs == int(best["kept_epoch"]) + 1
    assert (alone[0].train.monitor, alone[0].train.patience) == ("last", None)
    assert f"train.epochs={alone[0].train.epochs}" in Path("out/report.html").read_text()


def test_without_patience_the_last_run_has_all_epochs(go, alone):
    assert go("out", "trials=1", "train.epochs=3", "epochs=2", "patience=none") == 0
    assert [row["epochs"] for row in trials("out")] == ["2"]
    assert alone[0].train.epochs == 3


@pytest.mark.parametrize(
    ("words", "fields", "trial", "last"),
    [
        ([], {}, "has 8 epochs, and ends after 5 without", "has 3 epochs. They are as many as the best trial took"),
        (["epochs=4", "patience=none"], {}, "has 4 epochs.", "has 3 epochs."),
        (["patience=none"], {"patience": 2}, "has 8 epochs, and ends after 2 without", "3 epochs, and ends after 2"),
        ([], {"max_steps": 9}, "has 8 epochs, or 9 steps where", "3 epochs, or 9 steps where those are fewer. They"),
        (["train.epochs=2..8"], {}, "has the epochs of its setting, and ends after 5", "has 3 epochs. They"),
    ],
)
def test_the_page_says_how_long_trainings_are(words: list[str], fields: dict[str, int], trial: str, last: str):
    tiny = tiny_recipe.config()
    tiny.train = dataclasses.replace(tiny.train, epochs=8, **fields)
    search = budget.Search(ranges=tuple(word for word in words if ".." in word))
    config.override(search, [word for word in words if ".." not in word])
    full = dataclasses.replace(tiny, train=dataclasses.replace(tiny.train, epochs=3))
    data: Any = SimpleNamespace(train=range(12), val=range(3))
    said = budget.in_words(tiny, search, data, full=full)
    assert f"A trial {trial}" in said[1]
    assert last in said[-1]


def test_a_limit_beside_a_range_of_epochs_is_refused(go, capsys):
    assert go("out", "epochs=2", "train.epochs=2..9", "--dry-run") == 2
    assert "epochs cannot be: got 2; expected none, as train.epochs is varied" in capsys.readouterr().err


def test_a_warm_up_that_a_short_trial_has_no_room_for_is_refused(go, capsys):
    assert go("out", "train.epochs=4", "epochs=1", "schedule.warmup_epochs=2") == 2
    assert "schedule.warmup_epochs is longer than the run: got 2.0" in capsys.readouterr().err


def test_a_stop_in_the_middle_changes_no_trial(go, alone, monkeypatch, capsys):
    assert go("whole", "trials=2", "train.epochs=2") == 0
    save, calls = recipe.Checkpoints.save, []

    def stop(*arguments: Any, **options: Any) -> None:
        save(*arguments, **options)
        calls.append(1)
        if len(calls) == 3:  # the first epoch of the second trial is saved, and the study not told
            raise KeyboardInterrupt

    monkeypatch.setattr("finegrain.recipe.Checkpoints.save", stop)
    assert go("parts", "trials=2", "train.epochs=2") == 130
    assert go("parts", "trials=2", "train.epochs=2") == 0
    assert len(calls) == 4
    assert trials("parts") == trials("whole")


@pytest.mark.slow
def test_processes_share_a_search_and_one_that_is_killed_loses_nothing(go):
    words = command("out", "trials=4")
    first = Forked(words, log="first")
    while not Path("out/trials/0001").exists():
        time.sleep(0.01)
    second = Forked(words, log="second")
    while not Path("out/trials/0002").exists():
        assert first.poll() is None
        time.sleep(0.01)
    first.kill()
    assert second.wait() == 0, Path("second").read_text()
    rows = trials("out")
    assert [row["trial"] for row in rows] == list("0123")
    assert all(row["val_top1"] for row in rows)
    assert len(list(Path("out").glob("best-*/metrics.json"))) == 1


def test_who_is_done_while_others_are_not_says_so(go, alone, monkeypatch, capsys):
    assert go("out", "trials=1") == 0
    assert "another process trains with the best setting" in capsys.readouterr().out

    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("finegrain.search.tune.fit", interrupt)
    assert go("out", "trials=2") == 130
    monkeypatch.setattr("finegrain.search.study.Study._orphan", lambda *_: None)  # as if another process had it
    assert go("out", "trials=2") == 0
    assert "other processes still carry out trial 1; the last one goes on" in capsys.readouterr().out
    assert len(alone) == 1


def test_values_that_come_again_are_not_trained_again(go, alone, monkeypatch):
    fits: list[object] = []
    fit = recipe.fit
    monkeypatch.setattr("finegrain.search.tune.fit", lambda *a, **o: fits.append(1) or fit(*a, **o))
    assert go("out", "trials=6", "optim.lr=1e-3,3e-3", "augment.preset=weak,strong") == 0
    settings = [(row["optim.lr"], row["augment.preset"]) for row in trials("out")]
    assert len(fits) == len(set(settings)) <= 4
    assert len({(*setting, row["val_loss"]) for setting, row in zip(settings, trials("out"), strict=True)}) <= 4


def test_trials_see_neither_test_nor_the_val_split_of_the_dataset(go, alone, monkeypatch):
    seen: list[Any] = []
    fit = recipe.fit
    monkeypatch.setattr("finegrain.search.tune.fit", lambda *a, data, **o: seen.append(data) or fit(*a, data=data, **o))
    assert go("out", "trials=1", "fraction=0.5") == 0
    parts = [{sample.path for sample in part} for part in (seen[0].train, seen[0].val, seen[0].test)]
    assert all(path.startswith("train/") for part in parts for path in part)
    assert not parts[0] & parts[1]
    assert parts[1] == parts[2]
    assert [len(part) for part in parts] == [6, 3, 3]


@pytest.mark.parametrize(("fraction", "kept"), [(1.0, 12), (0.5, 6), (0.01, 3), (None, 12)])
def test_a_fraction_keeps_every_class_and_its_val_split(go, fraction: float | None, kept: int):
    tiny = tiny_recipe.config()
    data = splits.build(tiny.data, tiny.data.table())
    part, whole = (budget.divide(data, tiny, fraction=share) for share in (fraction, 1.0))
    assert len(part.train) == kept
    assert set(part.class_counts()) == {kept // 3}
    assert part.val == whole.val


def test_settings_that_cannot_be_trained_are_bad_ones_and_not_the_end(go, alone, capsys):
    bad = ["optim.lr=1e38", "optim.lr=3e-3,1e38", "train.ema_decay=none"]  # the recipe's own comes first
    assert go("out", "trials=3", *bad) == 0
    rows = trials("out")
    assert {row["stopped"] == "" for row in rows} == {True, False}
    for row in rows:
        assert (row["optim.lr"] == "1e38") == ("not finite" in row["stopped"])
    assert alone[0].optim.lr == 3e-3
    assert go("all", "trials=2", "optim.lr=1e37,1e38", "train.ema_decay=none") == 2
    assert "no setting could be trained: got the " in capsys.readouterr().err


def test_another_search_or_a_run_in_the_directory_is_refused(go, alone, capsys):
    assert go("out", "trials=1") == 0
    for word in ("optim.lr=1e-4..1e-2", "fraction=0.9", "seed=7"):
        assert go("out", "trials=1", word) == 2
        assert "is of another run" in capsys.readouterr().err
    Path("ran").mkdir()
    Path("ran/config.py").write_text("")
    assert go("ran") == 2
    assert "holds a run already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("optim.lrr=1..2", "did you mean optim.lr?"),
        ("optim.lr=2..1", "LOW..HIGH with numbers LOW < HIGH"),
        ("augment.preset=weak,huge", "got huge"),
        ("trials=0", "trials"),
        ("fraction=0", "fraction is not allowed: got 0.0; expected a number > 0 and ≤ 1 or none"),
        ("ranges=x", "unknown config key"),
    ],
)
def test_wrong_words_are_refused_before_anything_starts(go, capsys, word: str, message: str):
    for dry in ([], ["--dry-run"]):
        assert go("out", word, *dry) == 2
        shown = capsys.readouterr().err
        assert message in shown
        assert "Traceback" not in shown
    assert not Path("out").exists()


def test_a_dry_run_tells_the_ranges(go, capsys):
    assert go("out", "--dry-run") == 0
    assert capsys.readouterr().out.endswith(
        "augment.preset: weak, medium, strong\noptim.lr: 0.0001 to 0.1, log-uniform\n"
    )
