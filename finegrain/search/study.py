"""The trials of a study on disk: several processes share them, and none is lost with its process."""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import optuna
from optuna.pruners import MedianPruner
from optuna.samplers import TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial, TrialState

from finegrain.engine.checkpoint import read_json, require_same
from finegrain.errors import CheckpointError, InUseError, OutputError, fault
from finegrain.runtime import seed_of
from finegrain.search.ranges import Space
from finegrain.storage import RunDirectory, exclusive

STUDY = "study.json"
"""What a directory's trials depend on; a directory without it holds none."""
_JOURNAL, _LOCK = "study.journal", "study.lock"


class Study:
    """A search of `space` by TPE (Bergstra et al., NeurIPS 2011) in a folder that any number of processes may open.

    A trial belongs to the process that holds its run directory. Where that process died, the next one that looks goes
    on with the trial from its last checkpoint. A trial below the median of the finished ones at the same epoch is
    stopped (Golovin et al., KDD 2017), from the sixth on.
    """

    def __init__(
        self,
        folder: Path,
        *,
        space: Space,
        identity: Mapping[str, Any],
        config: str,
        first: Mapping[str, Any] | None,
        seed: int,
        maximize: bool,
        spared_epochs: int,
    ) -> None:
        """Open the study of a folder, or begin it.

        Args:
            folder: Made if need be.
            space: What is searched.
            identity: Plain values that all processes and resumptions of the study must share.
            config: Source of the recipe, kept beside the trials.
            first: Values of the first trial; None: drawn as all others.
            seed: A trial's values are a function of it, the trial's number and the trials before.
            maximize: Whether a larger figure is better.
            spared_epochs: No trial is stopped in the first so many.

        Raises:
            CheckpointError: The folder holds another study, or a damaged one.
            OutputError: It cannot be written, or holds a run.
        """
        self.folder, self._space, self._seed = folder, space, seed
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        with exclusive(folder / _LOCK):
            with RunDirectory(folder, resume=(folder / STUDY).exists()) as directory:
                _claim(directory, identity)
                directory.write("config.py", config)
            self.study = optuna.create_study(
                storage=_open(folder / _JOURNAL),
                study_name="tune",
                load_if_exists=True,
                direction="maximize" if maximize else "minimize",
                pruner=MedianPruner(n_startup_trials=5, n_warmup_steps=spared_epochs),
            )
            if first is not None and not self.study.get_trials(deepcopy=False):
                self.study.enqueue_trial(dict(first))

    def trials(self, limit: int) -> Iterator[tuple[optuna.Trial, RunDirectory]]:
        """Trials for this process to carry out and `tell`, each in its open directory, until `limit` are given out.

        Trials that died with their process come first.
        """
        while True:
            with ExitStack() as held:
                with exclusive(self.folder / _LOCK):
                    trial = self._orphan(held)
                    if trial is None and len(self.known()) < limit:
                        trial = self._ask(held)
                if trial is None:
                    return
                yield trial

    def tell(self, trial: optuna.Trial, facts: Mapping[str, Any]) -> None:
        """Finish a trial.

        Args:
            trial: Of `trials`.
            facts: Plain values that are kept with it, among them `stopped`, why it did not reach its end, or empty;
                and `figure`, if it did.
        """
        trial.set_user_attr("facts", dict(facts))
        if facts["stopped"]:
            self.study.tell(trial, state=TrialState.PRUNED)
        else:
            self.study.tell(trial, facts["figure"])

    def found(self, values: Mapping[str, Any]) -> dict[str, Any] | None:
        """The facts of a trial that had these values and reached its end."""
        same = (trial for trial in self.known() if trial.state == TrialState.COMPLETE and trial.params == values)
        return next((dict(trial.user_attrs["facts"]) for trial in same), None)

    def known(self) -> list[FrozenTrial]:
        """All trials that began, in their order, but those that lost their process before they had values."""
        unknown = (TrialState.WAITING, TrialState.FAIL)
        return [trial for trial in self.study.get_trials(deepcopy=False) if trial.state not in unknown]

    def directory(self, number: int) -> RunDirectory:
        """The run directory of a trial."""
        return RunDirectory(self.folder / "trials" / f"{number:04d}", resume=True)

    def _ask(self, held: ExitStack) -> tuple[optuna.Trial, RunDirectory]:
        """A new trial; the caller keeps other processes out, so that its number is known."""
        begun = [trial for trial in self.study.get_trials(deepcopy=False) if trial.state != TrialState.WAITING]
        self.study.sampler = TPESampler(seed=seed_of(self._seed, "trial", len(begun)) % 2**32)
        trial = self.study.ask(dict(self._space))
        return trial, held.enter_context(self.directory(trial.number))

    def _orphan(self, held: ExitStack) -> tuple[optuna.Trial, RunDirectory] | None:
        for running in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            try:
                directory = held.enter_context(self.directory(running.number))
            except InUseError:
                continue
            # Its process may have finished it since: as it is, now that no other process has it.
            trial = self.study.get_trials(deepcopy=False)[running.number]
            if trial.state == TrialState.RUNNING:
                if trial.params.keys() == self._space.keys():
                    return optuna.Trial(self.study, trial._trial_id), directory
                self.study.tell(trial.number, state=TrialState.FAIL)
            held.close()
        return None


def each_epoch(trial: optuna.Trial, column: str) -> Callable[[Mapping[str, float]], None]:
    """Tells the study a column of each epoch's row; raises `optuna.TrialPruned` where the trial is to be stopped."""

    def listen(row: Mapping[str, float]) -> None:
        if int(row["epoch"]) not in trial.study.get_trials(deepcopy=False)[trial.number].intermediate_values:
            trial.report(row[column], int(row["epoch"]))
        if trial.should_prune():
            raise optuna.TrialPruned

    return listen


class _Journal(JournalFileBackend):
    """Optuna's journal, which says what is the matter where the disk refuses."""

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        try:
            super().append_logs(logs)
        except OSError as error:
            raise OutputError(
                fault(
                    f"{self._file_path} cannot be written",
                    got=error.strerror or str(error),
                    expected="a writable folder with room",
                    remedy="free some space or mend the rights; the same command then goes on",
                )
            ) from error


def _open(file: Path) -> JournalStorage:
    """The journal, without a last line that a full disk or a power cut has torn.

    Raises:
        CheckpointError: It is damaged.
    """
    lock = JournalFileOpenLock(str(file))
    lock.acquire()
    try:
        if file.exists():
            os.truncate(file, file.read_bytes().rfind(b"\n") + 1)
    finally:
        lock.release()
    try:
        return JournalStorage(_Journal(str(file), lock_obj=lock))
    except (ValueError, KeyError, TypeError, AssertionError) as error:
        expected, remedy = "the journal of a study", "choose another --out"
        raise CheckpointError(fault(f"{file} is damaged", got=str(error), expected=expected, remedy=remedy)) from error


def _claim(directory: RunDirectory, identity: Mapping[str, Any]) -> None:
    text = json.dumps(identity, indent=1)
    file = directory.path / STUDY
    if file.exists():
        require_same(read_json(file, dict), json.loads(text), file)
    else:
        directory.write(STUDY, text)
