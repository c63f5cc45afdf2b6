"""Judge a run's best model: once on val, counted on test, and written down as a report."""

import json
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from finegrain.data.base import Data
from finegrain.data.feed import Feed, Inputs
from finegrain.engine.checkpoint import Course, read_course, read_json
from finegrain.engine.evaluate import EvaluationConfig, predict
from finegrain.error_analysis import analyse, features_by, maps_by
from finegrain.errors import CheckpointError, fault
from finegrain.features.cache import FeatureCache
from finegrain.metrics.classification import evaluate_predictions
from finegrain.metrics.confidence import Promises, judge_confidence
from finegrain.models.classifier import Classifier
from finegrain.models.weights import load_folder
from finegrain.perception import perceive
from finegrain.report.record import Parameters, SplitRecord
from finegrain.report.report import Report
from finegrain.runtime import Runtime, Stopwatch, environment
from finegrain.storage import RunDirectory

REPORT = "report.html"
"""Written last of all: where it lies, the run was judged."""
STRUCTURE = "model.txt"
"""What `models.summary.structure` says of the model as it was trained, the best one having nothing frozen any more."""
_COUNT = "test_evaluations.json"


def best_folder(directory: RunDirectory) -> Path:
    """Where the best model of a run lies, every byte verified.

    Raises:
        CheckpointError: There is none, or it is damaged.
    """
    folder = directory.newest("best")
    if folder is None:
        raise CheckpointError(
            fault(f"{directory.path} has no best model", got="none", expected="a finished epoch", remedy="train first")
        )
    return folder


def best_model(
    directory: RunDirectory, *, class_names: Sequence[str], runtime: Runtime, trust: bool = False
) -> Classifier:
    """The best model of a run on its device, whose classes must be those of the data, in the same order.

    Raises:
        CheckpointError: There is none, it is damaged, or its classes differ.
    """
    model, saved_names = load_folder(best_folder(directory), trust=trust)
    if saved_names != tuple(class_names):
        raise CheckpointError(_class_difference(saved_names, class_names))
    runtime.place_model(model)
    return model


def judged(directory: RunDirectory) -> bool:
    """Whether a run is complete: trained to its end, with a report of its best model.

    Raises:
        CheckpointError: The newest checkpoint or the best model is damaged.
    """
    reported = (directory.path / REPORT).exists() and directory.newest("best") is not None
    return reported and read_course(directory).finished


def judge(
    model: Classifier,
    *,
    course: Course,
    directory: RunDirectory,
    data: Data,
    val: Feed,
    test: Feed,
    evaluation: EvaluationConfig,
    promises: Promises | None,
    runtime: Runtime,
    cache: FeatureCache,
    clock: Stopwatch,
) -> str:
    """Predict val and test, and write the report into `directory`.

    Args:
        model: On its device.
        course: How it was trained.
        directory: Open; the run's.
        data: The splits.
        val: Feeds `data.val` in its order.
        test: Feeds `data.test` in its order.
        evaluation: What the feeds show of an image.
        promises: What confidence is to be worth; none: as `Promises` has it.
        runtime: Where and how to compute.
        cache: Keeps what the head reads of images that are compared.
        clock: Holds the time spent so far, by phase.

    Returns:
        The result in one line, and the path of `report.html` in the next.
    """
    see = partial(predict, model, runtime=runtime)
    with clock("evaluation"):
        on_val = see(val, title="validation")
        # Counted before the split is read: a crash cannot hide that it was seen.
        test_evaluations = count_test_evaluation(directory)
        on_test = see(test, title="test")
    val_metrics, test_metrics = (evaluate_predictions(p.labels, p.probabilities) for p in (on_val, on_test))
    with clock("error analysis"):
        look = features_by(model, source=data.source, runtime=runtime, cache=cache)
        errors = analyse(on_test, data=data, see=look, explain=maps_by(model, runtime=runtime))
    with clock("perception"):
        perception = perceive(model, on_test, data=data, runtime=runtime)
    seconds = clock.seconds | {"training": course.seconds}
    report = Report(
        name=course.identity["name"],
        class_names=data.class_names,
        views=evaluation.views,
        checkpoint=best_folder(directory).name,
        val=val_metrics,
        test=test_metrics,
        confidence=judge_confidence(val=on_val, test=on_test, promises=promises),
        predictions=on_test,
        test_evaluations=test_evaluations,
        parameters=Parameters(total=model.census().total, trainable=course.identity["trainable parameters"]),
        splits=_split_records(data),
        history=course.history,
        kept_epoch=course.kept_epoch,
        val_chose=course.identity["train.monitor"] != "last",
        errors=errors,
        perception=perception,
        architecture=course.identity["architecture"],
        structure=_structure(directory),
        recipe_source=(directory.path / "config.py").read_text(encoding="utf-8", errors="surrogateescape"),
        seconds=seconds,
        peak_memory_bytes=runtime.peak_memory_bytes(),
        environment=environment(runtime),
        dropped=[(entry.path, entry.reason) for entry in data.dropped],
        notes=(*data.carved, *data.notes, *course.notes(), *evaluation.notes()),
    )
    return f"{report.headline()}\n{report.write(directory.path)}"


class CountedFeed:
    """A feed of test that counts each look at it before the look is taken."""

    def __init__(self, test: Feed, *, directory: RunDirectory) -> None:
        """Feed what `test` does, counting in `directory`."""
        self.samples, self.batch_size = test.samples, test.batch_size
        self._test = test
        self._directory = directory

    def __len__(self) -> int:
        """Steps of a look."""
        return len(self._test)

    def epoch(self, epoch: int, start_step: int = 0) -> Iterator[Inputs]:
        """The steps of `test`."""
        count_test_evaluation(self._directory)
        return self._test.epoch(epoch, start_step)


def count_test_evaluation(directory: RunDirectory) -> int:
    """Count one more look at test in `directory`; return how many there were, this one included.

    Raises:
        CheckpointError: What was counted there is damaged.
    """
    file: Path = directory.path / _COUNT
    count = 1 + (read_json(file, int) if file.exists() else 0)
    directory.write(_COUNT, json.dumps(count))
    return count


def _structure(directory: RunDirectory) -> str:
    """The table of layers; empty where the run wrote none."""
    file = directory.path / STRUCTURE
    return file.read_text(encoding="utf-8", errors="replace") if file.exists() else ""


def _split_records(data: Data) -> dict[str, SplitRecord]:
    hashes = data.hashes()
    return {
        name: SplitRecord(count=len(samples), sha256=hashes[name])
        for name, samples in (("train", data.train), ("val", data.val), ("test", data.test))
    }


def _class_difference(saved: Sequence[str], present: Sequence[str]) -> str:
    pairs = zip(saved, present, strict=False)
    place = next((i for i, pair in enumerate(pairs) if pair[0] != pair[1]), min(len(saved), len(present)))
    there, here = (names[place] if place < len(names) else "none" for names in (saved, present))
    return fault(
        f"the data's classes are not the model's: they differ first at number {place}",
        got=f"{here!r} of {len(present)}",
        expected=f"{there!r} of {len(saved)}",
        remedy="use the data the model was trained for",
    )
