"""The command `predict`: what trained models say of any images, and which of the answers can be believed."""

import logging
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from finegrain.config import Count, Fraction
from finegrain.data.base import Sample
from finegrain.data.inputs import AnyFiles, find_images
from finegrain.data.transforms import Views
from finegrain.errors import DataError, FinegrainError, OutputError, fault, fault_list
from finegrain.explain import GALLERY, explain_all, read_photographs
from finegrain.features.classify import classify
from finegrain.features.extract import BATCH_SIZE
from finegrain.metrics.ensembles import Average, average
from finegrain.metrics.fitted import find_unsure
from finegrain.metrics.probabilities import checked_probabilities
from finegrain.report.answers import Answers
from finegrain.report.escape import one_line
from finegrain.runtime import Runtime, RuntimeConfig, device_faults
from finegrain.storage import atomic_write
from finegrain.trained import Trained, calibration, find_models

logger = logging.getLogger(__name__)

_Format = Literal["csv", "json"]
_EXPLAINED = 24
"""Images on the page of explanations, at most."""


class SomeUnreadable(FinegrainError):
    """Everything is done but for files that could not be read."""

    exit_code = 3


@dataclass(kw_only=True, slots=True)
class Query:
    """What is to be predicted, by whom, and how it is written down."""

    images: str = ""
    """An image, a folder, a pattern, or a list of images; see `data.inputs.find_images`."""
    members: tuple[str, ...] = ()
    """Directories of runs, and folders in timm's hub layout; several are averaged."""
    average: Average = "probabilities"
    """What of several models is averaged."""
    views: Views | None = None
    """What a prediction is an average over; none: what the model's run was judged with."""
    top: Count = 5
    """How many classes are told of each image."""
    threshold: Fraction | None = None
    """An answer of a lower probability is unsure; none: the run's own, from which on 95 % were right."""
    to: str | None = None
    """The file to write; none: a new one in the run's directory or, if there is no single run, in the working one."""
    format: _Format | None = None
    """None: what the file's name says, else CSV."""
    explain: bool = False
    """Also show what the model looks at in the images that it is least sure of; see the command `explain`."""
    batch_size: Count | None = None
    """None: what suits the device."""
    max_pixels: Count = 50_000_000
    """An image with more pixels is refused unread."""
    trust: bool = False
    """Whether a torch.hub network's code may run."""
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)

    def faults(self) -> list[str]:
        """There must be images and a model."""
        faults = []
        if not self.images:
            expected, remedy = "images=PATH", "name a file, a folder, a pattern or a list"
            faults.append(fault("no images", got="none", expected=expected, remedy=remedy))
        if not self.members:
            expected, remedy = "a run's directory, or several", "set --out, or name them after the command"
            faults.append(fault("no model", got="none", expected=expected, remedy=remedy))
        places = [Path(name).resolve() for name in self.members]
        if len(set(places)) < len(places):
            got, expected, remedy = ", ".join(self.members), "different directories", "name it once"
            faults.append(fault("a model twice", got=got, expected=expected, remedy=remedy))
        if self.explain and len(self.members) > 1:
            remedy = "leave --explain out"
            faults.append(fault("explain is of one model", got=len(self.members), expected="one", remedy=remedy))
        end = "" if self.to is None else Path(self.to).suffix.lower().removeprefix(".")
        if self.to is not None and (self.format or end) != (end if end in get_args(_Format) else self.format):
            got, expected = (
                self.to + (f" format={self.format}" if self.format else ""),
                "a name that ends .csv or .json",
            )
            remedy = "name another file, or set format where its end is neither"
            faults.append(fault("to and its format", got=got, expected=expected, remedy=remedy))
        return faults


def predict(query: Query) -> str:
    """Predict images and write a table; return what to print.

    Raises:
        CheckpointError: A directory holds no sound model, or the models' classes differ.
        DataError: There is no image, or none that can be read.
        OutputError: The file is there already, or cannot be written.
        SomeUnreadable: All is done, but for files that it names.
    """
    files = find_images(query.images)
    models = find_models([Path(name) for name in query.members])
    target, kind = _target(query, models)
    with device_faults():
        runtime = query.runtime.build()
        probabilities, unreadable = _ask(query, models, files, runtime)
    reasons = [one_line(reason) for reason in unreadable.values()]
    faults = fault_list(f"{len(reasons):,} of {len(files):,} files could not be read", reasons)
    if len(unreadable) == len(files):
        raise DataError(faults)
    fitted, words = calibration(models, views=query.views)
    sets = fitted.sets(probabilities) if fitted else None
    unsure, rule = find_unsure(probabilities, threshold=query.threshold, fitted=fitted)
    answers = Answers(
        models=query.members,
        class_names=models[0].class_names,
        paths=[str(file) for file in files],
        probabilities=probabilities,
        calibrated=fitted.calibrated(probabilities) if fitted else None,
        unsure=unsure,
        sets=sets,
        unreadable=unreadable,
        notes=[words, rule],
        top=query.top,
    )
    atomic_write(target, answers.json() if kind == "json" else answers.csv())
    found = f"{len(answers.read):,} image{'s' if len(answers.read) != 1 else ''} predicted"
    if unsure is not None:
        found += f", {int(unsure[answers.read].sum()):,} of them unsure"
    said = [found, words, rule, str(target)]
    try:
        if query.explain:
            said.append(str(_explain(query, models[0], answers, beside=target, runtime=runtime)))
        if unreadable:
            raise SomeUnreadable(faults)
    except FinegrainError:
        logger.info("\n".join(said))  # the table is there, whatever comes of the rest
        raise
    return "\n".join(said)


def _ask(
    query: Query, models: Sequence[Trained], files: Sequence[Path], runtime: Runtime
) -> tuple[NDArray[np.float64], dict[int, str]]:
    """Probabilities [N, K], and why files could not be read, by their position."""
    said: list[NDArray[np.float64]] = []
    unreadable: dict[int, str] = {}
    for model in models:
        one = classify(
            [Sample(path=str(file), label=0) for file in files],
            source=AnyFiles(max_pixels=query.max_pixels),
            classifier=model.load(runtime, trust=query.trust),
            runtime=runtime,
            views=query.views or model.confidence.views,
            batch_size=query.batch_size,
            title=f"predicting, {model.path}",
        )
        said.append(one.probabilities)
        unreadable |= one.unreadable
    together = average(np.array(said), query.average) if len(said) > 1 else said[0]
    return checked_probabilities(np.zeros(len(files), np.int64), together), dict(sorted(unreadable.items()))


def _target(query: Query, models: Sequence[Trained]) -> tuple[Path, str]:
    """The file to write, proved to be new and in a folder that can be written, and its format."""
    if query.to is not None:
        target = Path(query.to).expanduser()
        kind = query.format or target.suffix.lower().removeprefix(".")
    else:
        single = len(models) == 1 and models[0].path != models[0].folder
        kind = query.format or "csv"
        name = f"predict-{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}.{kind}"
        target = (models[0].path if single else Path()) / name
    if target.exists():
        remedy = "name another file, or remove it first"
        got = "a folder" if target.is_dir() else "a file"
        raise OutputError(fault(f"{target} is there already", got=got, expected="a new name", remedy=remedy))
    if not (target.parent.is_dir() and os.access(target.parent, os.W_OK)):
        got = f"{target.parent}, {'write-protected' if target.parent.is_dir() else 'which is no folder'}"
        expected, remedy = "a folder that can be written", "make it, or set to=FILE"
        raise OutputError(fault(f"{target} cannot be written", got=got, expected=expected, remedy=remedy))
    return target, kind


def _explain(query: Query, model: Trained, answers: Answers, *, beside: Path, runtime: Runtime) -> Path:
    """The page that shows what speaks for the likeliest classes of the images that the model is least sure of."""
    confidences = answers.probabilities.max(axis=1)
    least_sure = sorted(answers.read, key=lambda index: confidences[index])[:_EXPLAINED]
    page, name = beside.with_name(f"explain-{beside.stem}.html"), model.path.resolve().name
    with device_faults():
        found = explain_all(
            read_photographs([Path(answers.paths[index]) for index in least_sure], max_pixels=query.max_pixels),
            model.load(runtime, trust=query.trust),
            "hirescam",
            compared=(),
            name=name,
            chosen="The images that the model is least sure of, the least sure first.",
            names=model.class_names,
            views=query.views or model.confidence.views,
            batch_size=query.batch_size or BATCH_SIZE[runtime.device.type],
            runtime=runtime,
        )
    found.write(page, GALLERY / name / page.stem)
    return page
