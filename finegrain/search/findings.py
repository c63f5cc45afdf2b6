"""What a search found: its trials as plain values, the best of them, and what came of the best setting."""

import json
from collections.abc import Sequence
from pathlib import Path

import optuna
from optuna.distributions import CategoricalDistribution
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, TrialState

from finegrain.errors import ConfigError, fault
from finegrain.judgement import REPORT
from finegrain.report.search_record import FinalResult, Trial, Varied
from finegrain.search.ranges import Distribution, in_words

LEAST_FOR_IMPORTANCES = 10
"""Shares of the variance of fewer figures would be chance."""
_METRICS = "metrics.json"


def best_trial(trials: Sequence[FrozenTrial], *, maximize: bool) -> FrozenTrial:
    """The finished trial with the best figure; of equal ones that with the smaller loss, then the first.

    Raises:
        ConfigError: None was trained to its end.
    """
    finished = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    if not finished:
        raise ConfigError(
            fault(
                "no setting could be trained",
                got=trials[0].user_attrs["facts"]["stopped"],
                expected="a trial that reaches its end",
                remedy="change the ranges or the recipe, and choose another --out",
            )
        )
    sign = -1 if maximize else 1
    return min(finished, key=lambda trial: (sign * (trial.value or 0.0), trial.user_attrs["facts"]["loss"]))


def as_trial(trial: FrozenTrial) -> Trial:
    """A finished or stopped trial for the report."""
    facts = trial.user_attrs["facts"]
    return Trial(
        number=trial.number,
        values=trial.params,
        figure=facts.get("figure"),
        loss=facts.get("loss"),
        kept_epoch=facts.get("kept_epoch"),
        epochs=facts["epochs"],
        seconds=facts["seconds"],
        stopped=facts["stopped"],
    )


def as_varied(key: str, allowed: Distribution) -> Varied:
    """A searched field for the report."""
    if isinstance(allowed, CategoricalDistribution):
        return Varied(key=key, words=in_words(allowed), choices=tuple(map(str, allowed.choices)))
    return Varied(key=key, words=in_words(allowed), low=allowed.low, high=allowed.high, log=allowed.log)


def importances(study: optuna.Study, trials: Sequence[FrozenTrial]) -> dict[str, float]:
    """Share of each key in the variance of the figures by fANOVA (Hutter et al., ICML 2014), largest first.

    Empty where there are too few finished trials to say, or one key.
    """
    figures = [trial.value for trial in trials if trial.state == TrialState.COMPLETE]
    if len(figures) < LEAST_FOR_IMPORTANCES or len(set(figures)) == 1 or len(trials[0].params) == 1:
        return {}
    return get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=0))


def read_test(folder: Path) -> FinalResult:
    """What the run in `folder` wrote down, and how often test was looked at by it and the ones beside it."""
    numbers = json.loads((folder / _METRICS).read_text(encoding="utf-8"))
    beside = [json.loads(file.read_text(encoding="utf-8")) for file in folder.parent.glob(f"best-*/{_METRICS}")]
    low, high = numbers["test"]["top1_interval"]
    return FinalResult(
        top1=numbers["test"]["top1"],
        interval=(low, high),
        loss=numbers["test"]["loss"],
        n=numbers["splits"]["test"]["count"],
        page=f"{folder.name}/{REPORT}",
        looks=sum(other["test_evaluations"] - other.get("test_evaluations_for_curves", 0) for other in beside),
        train_images=numbers["splits"]["train"]["count"],
        parameters=numbers["parameters"]["total"],
        trained=numbers["parameters"]["trainable"],
        seconds=numbers["seconds_by_phase"]["training"],
        device=numbers["environment"]["device"],
    )
