"""The command `learning-curve` on tiny images: what is drawn, what is computed again, and what is refused."""

import csv
import dataclasses
import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

import main
from finegrain import config
from finegrain.data import splits
from finegrain.data.base import Data, Sample
from finegrain.errors import DataError
from finegrain.features import probe
from finegrain.repeated.learning_curve import Sampling, first_of_each_class, make_plan
from tests import tiny_recipe


@pytest.fixture
def go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """A learning curve of the tiny images: `go(name, out, *words)`; a class has 7 to learn from and judge by."""
    tiny_recipe.write_images(tmp_path / "images")
    monkeypatch.chdir(tmp_path)
    source = Path(tiny_recipe.__file__).read_text()
    Path("tiny.py").write_text(source)
    head = source.replace("tuning=Full(probe_first=True)", "tuning=Head()").replace(
        "from finegrain.tuning.full import Full", "from finegrain.tuning.head import Head"
    )
    Path("head.py").write_text(head.replace('preset="strong", mixup=0.4, mix_probability=0.5', 'preset="none"'))
    return lambda name, out, *words: main.main(["learning-curve", "--config", f"{name}.py", "--out", out, *words])


def plan_of(**settings):
    recipe = config.load("head.py")
    return make_plan(recipe, Sampling(**settings), splits.build(recipe.data, recipe.data.table()))


def rows(out: str) -> list[dict[str, str]]:
    with Path(out, "results.csv").open() as file:
        return list(csv.DictReader(file))


def test_smaller_numbers_of_images_lie_within_larger_ones(go):
    plan = plan_of(counts=(2, 3, 4), seeds=2, folds=3)
    assert len(plan) == 3 * 2 * 3
    by_count: dict[tuple[int, int], list[set[str]]] = {}
    for cell, data in plan.items():
        drawn = (*data.train, *data.val)
        assert set(Counter(s.label for s in drawn).values()) == {cell.per_class}
        assert set(Counter(s.label for s in data.val).values()) == {1}
        assert not {s.path for s in drawn} & {s.path for s in data.test}
        by_count.setdefault((cell.seed, cell.fold), []).append({s.path for s in drawn})
    assert all(small < middle < large for small, middle, large in by_count.values())
    assert by_count[0, 0][0] != by_count[1, 0][0]


def test_what_is_judged_does_not_depend_on_how_many_are_learned_from(go):
    plan = plan_of(counts=(2, 4), seeds=1, folds=3)
    few, many = ([data.test for cell, data in plan.items() if cell.per_class == n] for n in (2, 4))
    assert few == many
    assert len({s.path for test in few for s in test}) == 21
    assert not any(s.path.startswith("test/") for test in few for s in test)


def test_images_are_drawn_whatever_order_they_come_in():
    samples = [Sample(path=f"{label}/{n}", label=label) for label in range(3) for n in range(9)]
    drawn = first_of_each_class(samples, 4, seed=1)
    assert first_of_each_class(samples[::-1], 4, seed=1) == drawn
    assert set(first_of_each_class(samples, 4, seed=2)) != set(drawn)
    assert drawn[0].path != "0/0"


def test_powers_of_two_are_tried_where_nothing_is_said(go):
    assert {cell.per_class for cell in plan_of(seeds=1, folds=3)} == {2, 4}
    assert {cell.per_class for cell in plan_of(on="test", seeds=1)} == {2, 4}


def test_a_number_for_which_groups_leave_no_val_split_is_refused(go):
    """All images of a class are one group, or all but one: a group can only be trained on."""
    recipe = config.load("head.py")
    data = splits.build(recipe.data, recipe.data.table())

    def grouped(alone: str) -> Data:
        def regroup(samples: tuple[Sample, ...]) -> tuple[Sample, ...]:
            return tuple(dataclasses.replace(s, group=None if s.path == alone else str(s.label)) for s in samples)

        return dataclasses.replace(data, train=regroup(data.train), val=regroup(data.val))

    sampling = Sampling(on="test", seeds=3)
    with pytest.raises(DataError, match="got 7 in the smallest class; expected images, or groups"):
        make_plan(recipe, sampling, grouped(""))
    with pytest.raises(DataError, match=r"got 2; expected from [3-7], below which val would be empty, to 7"):
        make_plan(recipe, dataclasses.replace(sampling, counts=(2, 7)), grouped("train/auk/0.png"))
    plan = make_plan(recipe, dataclasses.replace(sampling, counts=(7,)), grouped("train/auk/0.png"))
    assert all([s.path for s in cell.val] == ["train/auk/0.png"] for cell in plan.values())


def test_only_missing_cells_are_computed_and_the_table_is_the_same(go, monkeypatch, capsys):
    words = ["counts=3,2,3", "seeds=2", "folds=2"]
    calls = []
    choose = probe.choose_head
    monkeypatch.setattr("finegrain.repeated.judges.choose_head", lambda *a: calls.append(1) or choose(*a))
    assert go("head", "out", *words) == 0
    assert len(calls) == 8
    table = Path("out/results.csv").read_bytes()
    assert len(rows("out")) == 8
    damaged, lost = sorted(Path("out/cells").iterdir())[:2]
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"\0")
    lost.unlink()
    assert go("head", "out", *words) == 0
    assert len(calls) == 10
    assert Path("out/results.csv").read_bytes() == table
    assert go("head", "out", "counts=2", "seeds=3", "folds=2") == 0
    assert len(calls) == 12
    assert len(rows("out")) == 10  # those of three images a class are there still
    kept = Path("out/results.csv").read_bytes().splitlines()
    assert set(table.splitlines()) <= set(kept)
    assert [row["seed"] for row in rows("out")] == ["0", "0", "1", "1", "2", "2", "0", "0", "1", "1"]
    assert go("head", "out", "counts=2", "seeds=3", "folds=3") == 2
    assert "folds: 2 was saved, 3 is asked for" in capsys.readouterr().err


def test_the_report_tells_what_was_measured(go, capsys):
    assert go("head", "out", "counts=2,4", "seeds=2", "folds=2", "data.root=images") == 2
    assert "expected from 2, below which val would be empty, to 3" in capsys.readouterr().err
    assert go("head", "out", "counts=2,3", "seeds=2", "folds=2") == 0
    said = capsys.readouterr().out
    found = rows("out")
    assert [row["trained_images"] for row in found] == ["3"] * 4 + ["6"] * 4
    assert [row["images"] for row in found[:2]] in (["12", "9"], ["9", "12"], ["11", "10"], ["10", "11"])
    measured = json.loads(Path("out/metrics.json").read_text())["measured"]
    for point, part in zip(measured, (found[:4], found[4:]), strict=True):
        assert point["top1"] == pytest.approx(sum(float(row["top1"]) for row in part) / 4)
        assert f"{point['per_class']} images of each class: top-1 {100 * point['top1']:.1f}" in said
        assert f"), {point['per_class'] - 1} of them trained on, the others val's" in said
        assert point["trained_per_class"] == point["per_class"] - 1
    assert "No power law is fitted to fewer than 4 numbers of images." in said
    assert "extrapolated" not in said
    assert Path("out/learning_curve.png").read_bytes().startswith(b"\x89PNG")
    assert said.endswith("out/learning_curve.html\n")


def test_networks_are_trained_in_runs_of_their_own(go):
    words = ["counts=2", "seeds=1", "folds=2", "train.epochs=1", "tuning.probe_first=false", "schedule.warmup_epochs=0"]
    assert go("tiny", "out", *words) == 0
    for fold in (0, 1):
        assert list(Path("out/runs", f"images-2-seed-0-fold-{fold}", "checkpoints").glob("best-*"))
    assert len(rows("out")) == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["counts=1"], "cannot be learned from: got 1; expected from 2, below which .* to 4, .* set counts"),
        (["counts=2,5,9"], "got 5, 9; expected from 2, .* to 4, all that the smallest class leaves"),
        (["counts=0"], "counts is not allowed"),
        (["counts=few"], "counts cannot take this value: got few"),
        (["folds=1"], "folds: got 1"),
    ],
)
def test_what_cannot_be_is_refused(go, capsys, words: list[str], message: str):
    assert go("head", "out", "folds=3", *words) == 2
    shown = capsys.readouterr().err
    assert "Traceback" not in shown
    assert re.search(message, shown)


def test_a_directory_with_something_else_is_refused(go, capsys):
    Path("ran").mkdir()
    Path("ran/config.py").write_text("")
    assert go("head", "ran", "counts=2") == 2
    assert "holds a run already" in capsys.readouterr().err
