"""The members of an ensemble: the models that lie in the directories of runs and of cross-validations."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from finegrain import config
from finegrain.data.base import Data
from finegrain.engine.checkpoint import read_course, require_same
from finegrain.engine.evaluate import Predictions, predict
from finegrain.errors import CheckpointError, ConfigError, DataError, fault
from finegrain.features.cache import FeatureCache
from finegrain.judgement import best_model
from finegrain.models.classifier import Classifier
from finegrain.recipe import Recipe, build_feeds, build_model
from finegrain.repeated.cells import Cell
from finegrain.repeated.crossval import EVALUATION, make_plan, read_finished, read_protocol, ships_test
from finegrain.repeated.judges import RUNS, HeadJudge, identify_cells
from finegrain.runtime import Runtime
from finegrain.storage import RunDirectory

Part = Literal["val", "test"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """One trained model; no test image had a part in its training or in the choice of its epoch."""

    name: str
    see: Callable[[Part], Predictions]
    """Predicts a split."""
    knows_val: bool = False
    """Whether it was trained on images of the val split, so that this says nothing of it."""
    load: Callable[[], Classifier] | None = None
    """Reads the network from the disk; None for a head on features."""
    identity: Mapping[str, Any] = field(default_factory=dict)
    """What its run shares with its checkpoints, see `recipe.identify`."""
    notes: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Reader:
    """Reads members, each checked to be whole and of the data at hand; nothing in their directories is run or changed.

    Their config files are never looked at: the recipe is the user's.
    """

    recipe: Recipe
    """Gives the views and batches of the evaluation; for heads on features also the network."""
    data: Data
    runtime: Runtime
    cache: FeatureCache
    """Keeps what heads read."""

    def read(self, paths: Sequence[Path]) -> list[Member]:
        """The members that lie in the directories of runs, and of finished cross-validations.

        Raises:
            CheckpointError: A directory is neither, is damaged or not finished, or is of other classes or splits.
            ConfigError: A directory is named twice, or there are fewer than two members.
            DataError: A cross-validation trained on images of the test split.
        """
        places = [path.resolve() for path in paths]
        twice = [path for path, place in zip(paths, places, strict=True) if places.count(place) > 1]
        if twice:
            expected, remedy = "different directories", "name it once"
            raise ConfigError(fault("a member twice", got=str(twice[0]), expected=expected, remedy=remedy))
        names = [place.name for place in places]
        found: list[Member] = []
        for path, name in zip(paths, names, strict=True):
            found += self._read(path, name if names.count(name) == 1 else str(path))
        if len(found) < 2:
            expected, remedy = "two or more members", "name more directories"
            raise ConfigError(fault("no ensemble", got=len(found), expected=expected, remedy=remedy))
        return found

    def predict(self, model: Classifier, part: Part, title: str) -> Predictions:
        """What a network says of a split."""
        feeds = build_feeds(self.recipe, data=self.data, preprocessing=model.preprocessing, runtime=self.runtime)
        feed = {"val": feeds.val, "test": feeds.test}[part]
        return predict(model, feed, runtime=self.runtime, title=f"{title}, {part}")

    def _read(self, path: Path, name: str) -> list[Member]:
        if (path / EVALUATION).exists():
            return self._cells(path, name)
        if (path / "checkpoints").is_dir():
            member = self._run(path, name)
            read_course(RunDirectory(path, resume=True)).require_same_splits(self.data.identity())
            return [member]
        raise CheckpointError(
            fault(
                f"{path} holds no member",
                got=f"neither checkpoints nor {EVALUATION}" if path.is_dir() else "no such directory",
                expected="the --out of a train or of a finished crossval",
                remedy="name another directory",
            )
        )

    def _run(self, path: Path, name: str) -> Member:
        directory = RunDirectory(path, resume=True)
        load = partial(
            best_model,
            directory,
            class_names=self.data.class_names,
            runtime=self.runtime,
            trust=self.recipe.model.trust,
        )
        load()  # what cannot be used is refused before anything is computed
        course = read_course(directory)
        return Member(
            name=name,
            see=lambda part: self.predict(load(), part, name),
            load=load,
            identity=course.identity,
            notes=[f"{name}: {note}" for note in course.notes()],
        )

    def _cells(self, path: Path, name: str) -> list[Member]:
        identity, results = read_finished(path)
        present = {"class_names": list(self.data.class_names), **self.data.identity()}
        require_same({key: identity.get(key) for key in present}, present, path / EVALUATION)
        if identity["on"] == "folds" and not ships_test(self.data):
            raise DataError(
                fault(
                    f"the models of {path} were trained on images of the test split",
                    got="on=folds of a dataset that ships no test split",
                    expected="a test split that no member saw",
                    remedy="repeat that crossval with on=test, or assign a test split to the dataset",
                )
            )
        if (path / RUNS).is_dir():
            runs = [self._run(path / RUNS / str(cell), f"{name}/{cell}") for cell in results]
            return [replace(run, knows_val=True) for run in runs]
        return self._heads(path, name, identity)

    def _heads(self, path: Path, name: str, identity: Mapping[str, Any]) -> list[Member]:
        """Its heads, fitted again as they were, but judged on the test split."""
        protocol = read_protocol(identity)
        model = build_model(self.recipe, num_classes=len(self.data.class_names), runtime=self.runtime)
        settings = config.flatten(protocol)
        present = identify_cells(self.recipe, model, settings=settings, data=self.data, runtime=self.runtime)
        try:
            require_same(identity, json.loads(json.dumps(present)), path / EVALUATION)
        except CheckpointError as error:
            remedy = "its heads are fitted again: give the config and the keys of that crossval"
            raise CheckpointError(f"{error}\n{remedy}") from error
        plan = make_plan(self.recipe, protocol, self.data)
        plan = {cell: replace(cell_data, test=self.data.test) for cell, cell_data in plan.items()}
        judge = HeadJudge(
            self.recipe, model, plan=plan, source=self.data.source, runtime=self.runtime, cache=self.cache
        )

        def see(cell: Cell, _: Part) -> Predictions:
            return judge(cell, plan[cell]).predictions

        return [Member(name=f"{name}/{cell}", see=partial(see, cell), knows_val=True) for cell in plan]
