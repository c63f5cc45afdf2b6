"""The command `ensemble`: several trained models as one, what that gains, and why."""

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

import numpy as np
from tqdm import tqdm

from finegrain import config
from finegrain.data import splits
from finegrain.engine.evaluate import Predictions
from finegrain.ensembles.members import Member, Reader
from finegrain.ensembles.soup import Soup, greedy_soup, top1, why_not
from finegrain.errors import fault
from finegrain.judgement import count_test_evaluation
from finegrain.metrics.classification import evaluate_predictions
from finegrain.metrics.ensembles import Average, average, diversity, gain
from finegrain.models.weights import save_folder
from finegrain.recipe import FEATURES, Recipe, build_cache
from finegrain.repeated.judges import claim
from finegrain.report.ensemble import EnsembleReport
from finegrain.report.ensemble_record import Row
from finegrain.runtime import device_faults, environment
from finegrain.storage import RunDirectory

ENSEMBLE = "ensemble.json"
"""Whom a directory's ensemble consists of; a directory without it holds none."""
SOUP = "soup"
"""Folder of the soup in it, in timm's hub layout."""


@dataclass(kw_only=True, slots=True)
class Ensemble:
    """Who belongs to it, and what is averaged."""

    average: Average = "probabilities"
    members: tuple[str, ...] = ()
    """Directories of runs, and of cross-validations, each cell of which is a member."""

    def faults(self) -> list[str]:
        """Somebody must belong to it."""
        if self.members:
            return []
        remedy = "name them after the command"
        return [fault("no members", got="none", expected="directories of finished runs or crossvals", remedy=remedy)]


def ensemble(recipe: Recipe, settings: Ensemble, *, directory: RunDirectory) -> str:
    """Let every member predict val and test, average what they say, and write the report; return what to print.

    Writes `ensemble.html`, `ensemble.md`, `metrics.json`, `predictions.csv` and, where the members' weights can be
    averaged, the model `soup/`. Which members enter the soup is chosen on val; test is looked at once, counted, at the
    end.

    Raises:
        CheckpointError: A directory holds no members of this data, or `directory` holds another ensemble.
        ConfigError: There are fewer than two members.
        DataError: A member was trained on test images.
    """
    with directory, device_faults():
        runtime = recipe.runtime.build()
        data = splits.build(recipe.data, recipe.data.table())
        cache = build_cache(recipe.runtime, run=directory.path)
        reader = Reader(recipe=recipe, data=data, runtime=runtime, cache=cache)
        members = reader.read([Path(name) for name in settings.members])
        claim(directory, ENSEMBLE, {"members": [member.name for member in members], "average": settings.average})
        directory.write("config.py", config.dump(recipe))
        vals = [None if member.knows_val else member.see("val") for member in _bar(members, "val")]
        soup, soup_words = _cook(reader, members, vals, folder=directory.path / SOUP)
        # Counted before the split is read: a crash cannot hide that it was seen.
        looks = count_test_evaluation(directory)
        tests = [member.see("test") for member in _bar(members, "test")]
        members_said = np.array([said.probabilities for said in tests])
        labels = tests[0].labels
        averages = {how: _average(how, vals, tests) for how in get_args(Average)}
        chosen = averages[settings.average]
        report = EnsembleReport(
            name=recipe.name,
            average=settings.average,
            class_names=data.class_names,
            members=tuple(
                _row(member.name, val, test)
                for member, val, test in zip(_bar(members, "figures"), vals, tests, strict=True)
            ),
            averages={how: _row(f"average of {how}", *said) for how, said in averages.items()},
            soup=_row("soup", soup.val, reader.predict(soup.model, "test", "soup")) if soup else None,
            soup_words=soup_words,
            diversity=diversity(labels, members_said),
            gain=gain(labels, members_said, chosen[1].probabilities),
            predictions=chosen[1],
            test_evaluations=looks,
            recipe_source=config.dump(recipe),
            environment=environment(runtime),
            notes=(
                *data.carved,
                *data.notes,
                *recipe.evaluation.notes(),
                *(note for member in members for note in member.notes),
            ),
        )
        page = report.write(directory.path)
        shutil.rmtree(directory.path / FEATURES, ignore_errors=True)
    return f"{report.headline()}\n{page}"


def _cook(
    reader: Reader, members: Sequence[Member], vals: Sequence[Predictions | None], *, folder: Path
) -> tuple[Soup | None, str]:
    """The greedy soup of the members, saved in `folder`, if they can be averaged; and who is in it, or why none."""
    reason = why_not(members)
    if reason:
        return None, f"No soup: {reason}."
    known = [(said, member) for said, member in zip(vals, members, strict=True) if said]
    known.sort(key=lambda row: -top1(row[0]))
    loads = [member.load for _, member in known if member.load]
    soup = greedy_soup(loads, see=lambda model: reader.predict(model, "val", "soup"), first=known[0][0])
    names = [known[at][1].name for at in soup.kept]
    save_folder(soup.model, folder, class_names=reader.data.class_names, extra={"members": names})
    words = f"The soup is made of {', '.join(names)}, in this order." if len(names) > 1 else f"The soup is {names[0]}."
    if len(names) < len(members):
        words += " With any other member it got fewer val images right."
    return soup, words


def _average(
    how: Average, vals: Sequence[Predictions | None], tests: Sequence[Predictions]
) -> tuple[Predictions | None, Predictions]:
    """What the members say together of val, if all can be judged there, and of test."""

    def together(said: Sequence[Predictions]) -> Predictions:
        return replace(said[0], probabilities=average(np.array([one.probabilities for one in said]), how))

    known = [said for said in vals if said is not None]
    return together(known) if len(known) == len(vals) else None, together(tests)


def _row(name: str, val: Predictions | None, test: Predictions) -> Row:
    return Row(
        name=name,
        val=evaluate_predictions(val.labels, val.probabilities) if val else None,
        test=evaluate_predictions(test.labels, test.probabilities),
    )


def _bar(members: Sequence[Member], part: str) -> Iterable[Member]:
    bar: Iterable[Member] = tqdm(members, desc=f"members, {part}", leave=False, disable=None)
    return bar
