"""The command `explain`: maps of what speaks for a class, for a run's best model, on a page of their own."""

import csv
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from finegrain.config import Count
from finegrain.data.base import DataConfig, Sample, Source, Table
from finegrain.data.image import read_image
from finegrain.data.inputs import find_images
from finegrain.engine.checkpoint import read_json
from finegrain.errors import CheckpointError, ConfigError, DataError, fault
from finegrain.judgement import best_model
from finegrain.models.classifier import Classifier
from finegrain.recipe import Recipe
from finegrain.report.escape import csv_cell
from finegrain.report.explanations import Explained, Explanations, Panel
from finegrain.report.heat import attention_sheet, overlay
from finegrain.runtime import Runtime, device_faults
from finegrain.saliency.explainer import CLASSLESS, Explainer, Method
from finegrain.saliency.view import PlainView, plain_view
from finegrain.storage import RunDirectory

logger = logging.getLogger(__name__)
GALLERY = Path("gen")
"""Under it the pictures lie, by recipe, run and method."""
_PREDICTIONS = "predictions.csv"
_METRICS = "metrics.json"
_COLUMNS = {"path", "label", "class_1", "probability_1"}
_READING = {
    "attention": "Hot is what the class token looks at in the last layer, mean over heads; below, each layer and head.",
    "rollout": "Hot is what reaches the class token through the attention of all layers (rollout).",
    "eigencam": "Hot is where the strongest pattern of the features lies.",
}
_OF_A_CLASS = (
    "Hot is what speaks for the class named below; without heat nothing does. Where a map says “rather than”, it is of "
    "the difference of two logits: what speaks for both classes cancels."
)


@dataclass(kw_only=True, slots=True)
class Request:
    """What is to be explained, and how."""

    method: Method = "hirescam"
    """How; rollout and attention need a vision transformer. hirescam is gradcam where a CNN's last grid is averaged
    into a linear head, and points better elsewhere (`benchmarks/explanations.py`)."""
    images: str | None = None
    """An image, a folder of them, a pattern or a list, see `find_images`; none: images of the test split."""
    class_name: str | None = None
    """Test images of this class; none: the surest mistakes on test."""
    count: Count = 24
    """At most so many images."""
    compare: tuple[str, ...] = ()
    """Two classes to tell apart, on every image; none: the predicted one, and the true one or the second likeliest."""

    def faults(self) -> list[str]:
        """Images come from one place, and two classes are compared."""
        faults = []
        if self.images is not None and self.class_name is not None:
            got, expected = f"images={self.images} class_name={self.class_name}", "images or class_name"
            faults.append(fault("images are chosen twice", got=got, expected=expected, remedy="leave one out"))
        if self.compare and len(set(self.compare)) != 2:
            got, expected = ",".join(self.compare), "two classes, A,B"
            faults.append(fault("compare", got=got, expected=expected, remedy="name two different classes"))
        return faults


@dataclass(frozen=True, kw_only=True, slots=True)
class Photograph:
    """An image to be explained."""

    path: str
    label: int | None
    """Its true class, where it is known."""
    pixels: NDArray[np.uint8]


def explain(recipe: Recipe, request: Request, *, directory: RunDirectory) -> str:
    """Explain the best model of the run in `directory`; return what to print.

    Writes `explain-<method>.html` into it, and a PNG of each image under `gen/`. Test images are taken from the run's
    own `predictions.csv`: no accuracy is computed, so test is not looked at once more.

    Raises:
        CheckpointError: The run has no best model, or no predictions where they are needed.
        ConfigError: A class is not the data's, or the architecture cannot be explained so.
        DataError: There are no such images.
    """
    with directory, device_faults():
        runtime = recipe.runtime.build()
        table = recipe.data.table()
        model = best_model(directory, class_names=table.class_names, runtime=runtime, trust=recipe.model.trust)
        compared = [_class_index(name, table.class_names) for name in request.compare]
        chosen, photographs = _choose(request, table, recipe.data, run=directory.path)
        found = explain_all(
            photographs,
            model,
            request.method,
            compared,
            name=recipe.name,
            chosen=chosen,
            names=table.class_names,
            views=_judged_views(directory.path / _METRICS),
            batch_size=recipe.train.batch_size,
            runtime=runtime,
        )
        page = directory.path / f"explain-{request.method}.html"
        pictures = GALLERY / recipe.name / f"explain-{directory.path.resolve().name}-{request.method}"
        found.write(page, pictures)
    return f"{recipe.name}: {len(found.images)} images explained by {request.method}, pictures in {pictures}\n{page}"


def explain_all(
    photographs: Sequence[Photograph],
    model: Classifier,
    method: Method,
    compared: Sequence[int],
    *,
    name: str,
    chosen: str,
    names: Sequence[str],
    views: str,
    batch_size: int,
    runtime: Runtime,
) -> Explanations:
    """Explain any images; see `explain`.

    Args:
        photographs: Not yet as the model sees them.
        model: On its device.
        method: How.
        compared: Two classes by number, or none: the likeliest, and the true one or the second likeliest.
        name: Of the page.
        chosen: Which images these are, in a sentence.
        names: The model's K classes.
        views: What the predictions written down elsewhere are averages over.
        batch_size: Images at a time.
        runtime: Where and how to compute.

    Raises:
        ConfigError: The architecture cannot be explained so.
    """
    explainer = Explainer.of(model, method=method)
    return Explanations(
        name=name,
        method=method,
        architecture=model.architecture,
        chosen=chosen,
        reading=_READING.get(method, _OF_A_CLASS),
        views=views,
        images=[
            explained
            for batch in _batches(photographs, batch_size)
            for explained in _explain(batch, model, explainer, compared, names=names, runtime=runtime)
        ],
    )


def read_photographs(files: Sequence[Path], *, max_pixels: int, drop: bool = False) -> list[Photograph]:
    """Images of which nothing is known; raises DataError where one cannot be read, unless such files are to `drop`."""
    photographs = []
    for file in files:
        try:
            pixels = read_image(file, max_pixels=max_pixels).pixels
        except DataError as error:
            if not drop:
                raise
            logger.warning("left out: %s", error)
        else:
            photographs.append(Photograph(path=str(file), label=None, pixels=pixels))
    return photographs


def _choose(request: Request, table: Table, data: DataConfig, *, run: Path) -> tuple[str, Sequence[Photograph]]:
    """Which images these are, in a sentence, and the images."""
    if request.images is not None:
        files = find_images(request.images)[: request.count]
        drop = data.on_bad == "drop"
        return f"Images of {request.images}.", read_photographs(files, max_pixels=data.max_pixels, drop=drop)
    wanted = None if request.class_name is None else _class_index(request.class_name, table.class_names)
    samples = _test_samples(run / _PREDICTIONS, table, label=wanted)[: request.count]
    if not samples:
        what = "no mistake on test" if wanted is None else f"no test image of {request.class_name}"
        remedy = "name a class or images: class_name=NAME, images=FOLDER"
        raise DataError(fault(what, got="none", expected="at least one", remedy=remedy))
    chosen = "The surest mistakes on test." if wanted is None else f"Test images of {request.class_name}."
    source: Source = table.source
    return chosen, [Photograph(path=s.path, label=s.label, pixels=source.read(s)) for s in samples]


def _test_samples(file: Path, table: Table, *, label: int | None) -> list[Sample]:
    """The mistakes that a run's predictions name, surest first; or, in their order, all images of class `label`."""
    if not file.exists():
        expected, remedy = "a finished run", "finish it, or name images: images=FOLDER"
        raise CheckpointError(fault(f"there is no {file}", got="none", expected=expected, remedy=remedy))
    samples = {csv_cell(sample.path): sample for sample in table.samples}
    with file.open(encoding="utf-8", newline="") as opened:
        reader = csv.DictReader(opened)
        rows, missing = list(reader), _COLUMNS - set(reader.fieldnames or ())
    if missing:
        got, expected = f"no column {min(missing)}", "the file as the run wrote it"
        raise CheckpointError(fault(f"{file} is damaged", got=got, expected=expected, remedy="evaluate the run again"))
    unknown = [row["path"] for row in rows if row["path"] not in samples]
    if unknown:
        expected, remedy = "the images of the run", "use the data the model was trained for"
        raise DataError(
            fault(f"{file} names an image that is not there", got=unknown[0], expected=expected, remedy=remedy)
        )
    if label is not None:
        return [samples[row["path"]] for row in rows if samples[row["path"]].label == label]
    wrong = [row for row in rows if row["label"] != row["class_1"]]
    wrong.sort(key=lambda row: -float(row["probability_1"]))
    return [samples[row["path"]] for row in wrong]


def _judged_views(file: Path) -> str:
    """What the run's predictions are averages over, by its `metrics.json`; plain where it was not judged."""
    return str(read_json(file, dict).get("views", "plain")) if file.exists() else "plain"


def _batches(photographs: Sequence[Photograph], size: int) -> Iterator[Sequence[Photograph]]:
    for start in tqdm(range(0, len(photographs), size), desc="explaining", leave=False, disable=None):
        yield photographs[start : start + size]


def _explain(
    batch: Sequence[Photograph],
    model: Classifier,
    explainer: Explainer,
    compared: Sequence[int],
    *,
    names: Sequence[str],
    runtime: Runtime,
) -> list[Explained]:
    photographs = [photograph.pixels for photograph in batch]
    view = plain_view(photographs, preprocessing=model.preprocessing, runtime=runtime)
    with torch.inference_mode():
        probabilities = model.eval()(view.images).double().softmax(dim=1).cpu().numpy()
    pairs = [
        tuple(compared) or _pair(row, photograph.label)
        for row, photograph in zip(probabilities, batch, strict=True)
    ]  # fmt: skip
    panels = _panels(explainer, view, pairs, names=names)
    return [
        Explained(
            path=photograph.path,
            label=None if photograph.label is None else names[photograph.label],
            predicted=names[int(row.argmax())],
            probability=float(row.max()),
            panels=[Panel(title="As the model sees it", picture=pixels), *drawn],
        )
        for photograph, row, pixels, drawn in zip(batch, probabilities, view.pixels, panels, strict=True)
    ]


def _pair(probabilities: NDArray[np.float64], label: int | None) -> tuple[int, int]:
    """The predicted class, and the true one where it is another, else the second likeliest."""
    second, first = np.argsort(probabilities, kind="stable")[-2:]
    return int(first), int(second) if label in (None, first) else int(label)


def _panels(
    explainer: Explainer, view: PlainView, pairs: Sequence[tuple[int, ...]], *, names: Sequence[str]
) -> list[list[Panel]]:
    """The maps of each image, drawn."""
    a, b = torch.eye(len(names), device=view.images.device)[torch.tensor(pairs)].unbind(1)
    asked = {"{0}": a, "{1}": b, "{0} rather than {1}": a - b, "{1} rather than {0}": b - a}
    if explainer.method in CLASSLESS:
        asked = {"whatever the class": a}
    panels: list[list[Panel]] = [[] for _ in pairs]
    maps = explainer.maps(view.images, torch.stack(list(asked.values())))
    for words, heats in zip(asked, maps, strict=True):
        for number, heat in enumerate(heats):
            title = words.format(*(names[index] for index in pairs[number]))
            panels[number].append(Panel(title=title, picture=overlay(view.pixels[number], heat)))
    if explainer.method == "attention":
        for number, maps in enumerate(explainer.attention(view.images).float().cpu().numpy()):
            title = "Layers from first to last downwards, heads from left to right"
            panels[number].append(Panel(title=title, picture=attention_sheet(maps), wide=True))
    return panels


def _class_index(name: str, class_names: Sequence[str]) -> int:
    if name not in class_names:
        expected, remedy = f"one of {', '.join(class_names[:8])}, ...", "take a name of the report"
        raise ConfigError(fault("no such class", got=name, expected=expected, remedy=remedy))
    return class_names.index(name)
