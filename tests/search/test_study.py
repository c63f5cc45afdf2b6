"""The trials on disk: who carries out which, what a dead process leaves, and what is stopped early."""

import multiprocessing
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState

from finegrain.errors import CheckpointError, OutputError
from finegrain.search.study import Study, each_epoch
from finegrain.storage import RunDirectory

SPACE = {"x": FloatDistribution(-1.0, 1.0), "y": FloatDistribution(1e-4, 1.0, log=True)}


def opened(folder: Path, **changes: Any) -> Study:
    settings: dict[str, Any] = {
        "space": SPACE,
        "identity": {"recipe": "mine"},
        "config": "",
        "first": None,
        "seed": 0,
        "maximize": True,
        "spared_epochs": 0,
    }
    return Study(folder, **settings | changes)


def finish(study: Study, limit: int) -> Iterator[dict[str, float]]:
    for trial, _ in study.trials(limit):
        study.tell(trial, {"stopped": "", "figure": -(trial.params["x"] ** 2)})
        yield trial.params


def test_the_same_study_draws_the_same_values_however_often_it_is_opened(tmp_path: Path):
    whole = list(finish(opened(tmp_path / "a"), 14))
    parts = [params for limit in (3, 9, 14) for params in finish(opened(tmp_path / "b"), limit)]
    assert parts == whole
    assert len({params["x"] for params in whole}) == 14
    assert next(finish(opened(tmp_path / "c", seed=1), 1)) != whole[0]


def test_figures_steer_what_comes_after_the_first_ten(tmp_path: Path):
    """Told -x², it looks near 0; asked for less, near the ends."""
    inner, outer = (
        [abs(params["x"]) for params in finish(opened(tmp_path / str(maximize), maximize=maximize), 25)]
        for maximize in (True, False)
    )
    assert inner[:10] == outer[:10]
    assert np.median(inner[10:]) + 0.3 < np.median(outer[10:])


def test_the_first_trial_may_be_given(tmp_path: Path):
    first = {"x": 0.25, "y": 0.5}
    assert next(finish(opened(tmp_path, first=first), 1)) == first
    assert next(finish(opened(tmp_path, first=first), 2)) != first


def test_a_trial_without_its_process_is_gone_on_with(tmp_path: Path):
    alone = list(finish(opened(tmp_path / "a"), 3))
    study = opened(tmp_path / "b")
    assert next(finish(study, 3)) == alone[0]
    trial, directory = next(study.trials(3))  # dropped at once, as if its process had died
    trial.report(0.5, 0)
    (directory.path / "left").write_text("")
    again, same = next(opened(tmp_path / "b").trials(3))
    assert (again.number, again.params) == (trial.number, trial.params) == (1, alone[1])
    assert (same.path / "left").exists()
    each_epoch(again, "top1")({"epoch": 0.0, "top1": 0.25})  # told before: not told again
    known = opened(tmp_path / "b").known()
    assert [dict(trial.intermediate_values) for trial in known] == [{}, {0: 0.5}]
    assert list(finish(opened(tmp_path / "b"), 3)) == alone[1:]


def test_a_trial_that_died_before_it_had_values_is_replaced(tmp_path: Path):
    study = opened(tmp_path)
    study.study.ask()
    assert len(list(finish(opened(tmp_path), 2))) == 2
    assert [trial.state for trial in study.study.trials] == [TrialState.FAIL, TrialState.COMPLETE, TrialState.COMPLETE]
    assert [trial.number for trial in study.known()] == [1, 2]


def _hold(folder: Path, ready: Any) -> None:
    trial, _ = next(iter(held := opened(folder).trials(3)))
    ready.send(trial.number)
    ready.recv()
    held.close()


def test_a_trial_of_a_living_process_is_left_to_it(tmp_path: Path):
    ours, theirs = multiprocessing.Pipe()
    other = multiprocessing.get_context("fork").Process(target=_hold, args=(tmp_path, theirs))
    other.start()
    assert ours.recv() == 0
    study = opened(tmp_path)
    assert [trial.number for trial, _ in _told(study, 3)] == [1, 2]
    assert study.known()[0].state == TrialState.RUNNING
    os.kill(other.pid or 0, 9)
    other.join()
    assert [trial.number for trial, _ in _told(study, 3)] == [0]


def _told(study: Study, limit: int) -> Iterator[tuple[optuna.Trial, RunDirectory]]:
    for trial, directory in study.trials(limit):
        study.tell(trial, {"stopped": "", "figure": 0.0})
        yield trial, directory


def _fill(folder: Path) -> None:
    for _ in finish(opened(folder), 12):
        pass


def test_processes_share_the_trials_and_none_is_carried_out_twice(tmp_path: Path):
    others = [multiprocessing.get_context("fork").Process(target=_fill, args=(tmp_path,)) for _ in range(3)]
    for other in others:
        other.start()
    for other in others:
        other.join()
    assert [other.exitcode for other in others] == [0, 0, 0]
    known = opened(tmp_path).known()
    assert [trial.number for trial in known] == list(range(12))
    assert {trial.state for trial in known} == {TrialState.COMPLETE}
    assert len({trial.params["x"] for trial in known}) == 12


def course(study: Study, limit: int, figures: list[float]) -> int:
    """Carry out one trial with a figure for each epoch; return after how many it was stopped."""
    trial, _ = next(study.trials(limit))
    listen = each_epoch(trial, "top1")
    for epoch, figure in enumerate(figures):
        try:
            listen({"epoch": float(epoch), "top1": figure})
        except optuna.TrialPruned:
            study.tell(trial, {"stopped": "early"})
            return epoch + 1
    study.tell(trial, {"stopped": "", "figure": max(figures)})
    return len(figures)


def test_a_trial_below_the_median_is_stopped_once_it_was_spared(tmp_path: Path):
    study = opened(tmp_path, spared_epochs=1)
    assert [course(study, n + 1, [0.1, 0.2, 0.3]) for n in range(3)] == [3, 3, 3]
    assert course(study, 4, [0.0, 0.0, 0.0]) == 3  # too few are finished to judge by
    assert course(study, 5, [0.1, 0.2, 0.3]) == 3
    assert course(study, 6, [0.0, 0.1, 0.3]) == 2
    assert course(study, 7, [0.0, 0.2, 0.3]) == 3
    assert [trial.state for trial in study.known()][4:] == [TrialState.COMPLETE, TrialState.PRUNED, TrialState.COMPLETE]


def test_where_less_is_better_a_larger_figure_is_stopped(tmp_path: Path):
    study = opened(tmp_path, maximize=False)
    assert [course(study, n + 1, [0.5]) for n in range(5)] == [1] * 5
    assert course(study, 6, [0.6, 0.1]) == 1
    assert course(study, 7, [0.4, 0.1]) == 2


def test_another_study_and_a_run_are_refused(tmp_path: Path):
    opened(tmp_path / "a")
    with pytest.raises(CheckpointError, match=r"'mine' was saved, 'yours' is asked for"):
        opened(tmp_path / "a", identity={"recipe": "yours"})
    with RunDirectory(tmp_path / "run", resume=False) as directory:
        directory.write("config.py", "")
    with pytest.raises(OutputError, match="holds a run already"):
        opened(tmp_path / "run")


def test_a_torn_last_line_is_dropped_and_other_damage_told(tmp_path: Path):
    values = list(finish(opened(tmp_path), 2))
    journal = tmp_path / "study.journal"
    journal.write_bytes(journal.read_bytes() + b'{"op_code":4,"wor')
    assert [trial.params for trial in opened(tmp_path).known()] == values
    assert len(list(finish(opened(tmp_path), 3))) == 1
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([*lines[:2], b"\x00nonsense\n", *lines[2:]]))
    with pytest.raises(CheckpointError, match=r"study\.journal is damaged: .* another --out"):
        opened(tmp_path)


@pytest.mark.parametrize("content", [b"{", b"\xff", b"[]", b""])
def test_a_damaged_description_is_refused(tmp_path: Path, content: bytes):
    opened(tmp_path)
    (tmp_path / "study.json").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"study\.json is damaged: .* another --out"):
        opened(tmp_path)


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        opened(tmp_path / "file" / "study")
    study = opened(tmp_path / "study")

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", refuse)
    with pytest.raises(OutputError, match="journal cannot be written: got No space left on device"):
        study.study.ask()
