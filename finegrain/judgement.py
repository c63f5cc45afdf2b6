"""Judge a run's best model: once on val, counted on test, and written down as a report."""

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from finegrain.data.base import Data
from finegrain.data.feed import Feed
from finegrain.engine.checkpoint import Course, read_course
from finegrain.engine.evaluate import EvaluationConfig, Predictions, predict
from finegrain.errors import CheckpointError, fault
from finegrain.metrics.classification import evaluate_predictions
from finegrain.metrics.confidence import judge_confidence
from finegrain.models.classifier import Classifier
from finegrain.models.weights import load_folder
from finegrain.report.gallery import surest_mistakes
from finegrain.report.record import Mistake, Parameters, SplitRecord
from finegrain.report.report import Report
from finegrain.runtime import Runtime, Stopwatch, environment
from finegrain.storage import RunDirectory

REPORT = "report.html"
"""Written last of all: where it lies, the run was judged."""
SHOWN_MISTAKES = 24
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
    runtime: Runtime,
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
        runtime: Where and how to compute.
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
    with clock("gallery"):
        mistakes = _mistakes(data, on_test)
    seconds = clock.seconds | {"training": course.seconds}
    report = Report(
        name=course.identity["name"],
        class_names=data.class_names,
        views=evaluation.views,
        checkpoint=best_folder(directory).name,
        val=evaluate_predictions(on_val.labels, on_val.probabilities),
        test=evaluate_predictions(on_test.labels, on_test.probabilities),
        confidence=judge_confidence(val=on_val, test=on_test),
        predictions=on_test,
        test_evaluations=test_evaluations,
        parameters=Parameters(total=model.census().total, trainable=course.identity["trainable parameters"]),
        splits=_split_records(data),
        history=course.history,
        kept_epoch=course.kept_epoch,
        val_chose=course.identity["train.monitor"] != "last",
        mistakes=mistakes,
        recipe_source=(directory.path / "config.py").read_text(encoding="utf-8", errors="surrogateescape"),
        seconds=seconds,
        peak_memory_bytes=runtime.peak_memory_bytes(),
        environment=environment(runtime),
        dropped=[(entry.path, entry.reason) for entry in data.dropped],
        notes=(*data.notes, *course.notes(), *evaluation.notes()),
    )
    return f"{report.headline()}\n{report.write(directory.path)}"


def count_test_evaluation(directory: RunDirectory) -> int:
    """Count one more look at test in `directory`; return how many there were, this one included."""
    file: Path = directory.path / _COUNT
    count = 1 + (int(json.loads(file.read_text())) if file.exists() else 0)
    directory.write(_COUNT, json.dumps(count))
    return count


def _split_records(data: Data) -> dict[str, SplitRecord]:
    hashes = data.hashes()
    return {
        name: SplitRecord(count=len(samples), sha256=hashes[name])
        for name, samples in (("train", data.train), ("val", data.val), ("test", data.test))
    }


def _mistakes(data: Data, predictions: Predictions) -> tuple[Mistake, ...]:
    """The surest mistakes on test, each beside a train image of the class it was taken for."""

    def example(label: int) -> NDArray[np.uint8] | None:
        sample = next((s for s in data.train if s.label == label), None)
        return None if sample is None else data.source.read(sample)

    def read(index: int) -> NDArray[np.uint8]:
        return data.source.read(data.test[index])

    return surest_mistakes(predictions, limit=SHOWN_MISTAKES, read=read, example=example)


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
