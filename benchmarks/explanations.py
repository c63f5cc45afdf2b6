"""Whether maps point at what tells species apart: a Markdown table of methods × trained models, where truth is known.

    python benchmarks/explanations.py --config configs/quickstart.py RUN RUN ... [KEY=VALUE ...]      # drawn birds
    python benchmarks/explanations.py --config configs/cub_resnet50.py RUN ... data.root=ROOT         # CUB, with boxes

Each RUN is a run's directory; its best model is explained on test images of the config's data, which must be the run's.
On drawn birds an image is explained for its true class *rather than* the relative (of the same genus) that the model
finds likeliest, and the truth is the boxes of the parts in which the two differ; images on which none of these is in
sight are left out. On photographs the second likeliest class takes the relative's place, and the truth is the box.

- points: hottest point inside the truth, with Wilson's interval; "for the class": the same, of its map alone.
- energy: share of the heat inside the truth.
- deletion, insertion: area under the true class's probability while its map's hottest pixels go, or come, in 16 steps.
- sanity: rank correlation with the map of the same network with random weights: near 0 is good, 1 shows no learning.

Means over images with stratified bootstrap intervals. `centre` is a round spot in the middle, `random` smooth noise.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, zoom
from torch import Tensor
from tqdm import tqdm

from finegrain import config
from finegrain.data.base import Box, Sample, Table
from finegrain.data.birds.species import distinguishing_parts
from finegrain.data.synthetic import DrawnSource, parse_path
from finegrain.data.transforms import eval_transform, normalize
from finegrain.errors import ConfigError
from finegrain.metrics.explanations import energy_inside, perturbation_area, points_inside, rank_correlation
from finegrain.metrics.intervals import wilson
from finegrain.metrics.statistics import bootstrap_interval
from finegrain.models.architecture import find_architecture
from finegrain.models.backbone import build_classifier
from finegrain.models.classifier import Classifier
from finegrain.models.weights import load_folder
from finegrain.saliency.explainer import Explainer, Method
from finegrain.storage import RunDirectory

BATCH, STEPS, SEED = 32, 16, 0
Maps = NDArray[np.float32]
COLUMNS = ("model", "method", "points, %", "for the class, %", "energy, %", "deletion", "insertion", "sanity")
HEADER = f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}"


@dataclass(frozen=True, kw_only=True)
class Task:
    """N images that a model saw, and what is true of them."""

    pixels: Tensor
    """Prepared, [N, 3, S, S]."""
    truth: NDArray[np.bool_]
    """[N, S, S]."""
    labels: NDArray[np.int64]
    rivals: NDArray[np.int64]
    """The class that each image is told apart from."""

    def every(self, step: int) -> "Task":
        """The first of each `step` images."""
        return Task(
            pixels=self.pixels[::step],
            truth=self.truth[::step],
            labels=self.labels[::step],
            rivals=self.rivals[::step],
        )

    def weights(self, num_classes: int, *, rather: bool) -> Tensor:
        """Of the logits: the true class's, less the rival's if `rather`."""
        one_hot = np.eye(num_classes, dtype=np.float32)
        return torch.from_numpy(one_hot[self.labels] - (one_hot[self.rivals] if rather else 0))


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table, and below it what its figures rest on."""
    options = parse(argv)
    torch.set_num_threads(1)
    recipe = config.load(options.config)
    config.override(recipe, [word for word in options.words if "=" in word])
    table = recipe.data.table()
    notes = []
    print(HEADER)
    for run in (Path(word) for word in options.words if "=" not in word):
        folder = RunDirectory(run, resume=True).newest("best")
        model, names = load_folder(folder)
        if names != table.class_names:
            raise SystemExit(f"{run}: its classes are not those of the images")
        task = make_task(model.eval(), table, options.images)
        notes.append(f"{run.name} ({model.architecture}): {note(model, task)}")
        report(model, task, name=run.name, curves=options.curves)
    print("\n" + "\n".join(notes))


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="+", metavar="WORD", help="directories of runs, and KEY=VALUE for the config")
    parser.add_argument("--config", required=True, help="of the runs; its data are drawn birds, or have boxes")
    parser.add_argument("--images", type=int, default=320, help="test images at most, evenly drawn")
    parser.add_argument(
        "--curves", type=int, default=10**6, help="of these, for deletion, insertion and sanity: costly"
    )
    return parser.parse_intermixed_args(argv)


def make_task(model: Classifier, table: Table, limit: int) -> Task:
    """The test images with their truth, for the rivals that `model` chooses."""
    samples = [sample for sample in table.samples if sample.split == "test"]
    samples = samples[:: max(len(samples) // limit, 1)][:limit]
    if getattr(table.source, "box_margin", None) is not None:
        raise SystemExit("these images are cropped to their boxes: set data.box_margin=none")
    if not isinstance(table.source, DrawnSource) and not all(sample.box for sample in samples):
        raise SystemExit("these images have no boxes: name drawn birds, or a dataset in CUB's layout")
    transform = eval_transform(model.preprocessing)
    seen, kept, truths, rivals = [], [], [], []
    for sample in samples:
        image = table.source.read(sample)
        view = transform(image=image)["image"]
        rival = choose_rival(model, view, sample, table)
        mask = np.zeros_like(image)
        for left, top, right, bottom in boxes(sample, rival, table):
            mask[int(top) : int(np.ceil(bottom)), int(left) : int(np.ceil(right))] = 255
        truth = transform(image=mask)["image"][..., 0] > 127  # the truth goes the image's way
        if truth.any():
            seen.append(view), kept.append(sample.label), truths.append(truth), rivals.append(rival)
    pixels = normalize(torch.from_numpy(np.stack(seen)).permute(0, 3, 1, 2), model.preprocessing)
    return Task(pixels=pixels, truth=np.stack(truths), labels=np.array(kept), rivals=np.array(rivals))


def note(model: Classifier, task: Task) -> str:
    """What the figures rest on."""
    with torch.inference_mode():
        answers = torch.cat([model(images).argmax(dim=1) for images in task.pixels.split(BATCH)]).numpy()
    return (
        f"{len(answers)} images, {100 * np.mean(answers == task.labels):.1f} % of which it names rightly; "
        f"the truth takes {100 * task.truth.mean():.1f} % of an image"
    )


def choose_rival(model: Classifier, view: NDArray[np.uint8], sample: Sample, table: Table) -> int:
    """The likeliest other class; of the same genus where birds are drawn."""
    image = normalize(torch.from_numpy(view)[None].permute(0, 3, 1, 2), model.preprocessing)
    with torch.inference_mode():
        logits = model(image)[0]
    allowed = [label for label in range(len(table.class_names)) if label != sample.label]
    if isinstance(table.source, DrawnSource):
        genus = {s.label: parse_path(s.path)[0].genus for s in table.samples}
        allowed = [label for label in allowed if genus[label] == genus[sample.label]]
    return max(allowed, key=lambda label: float(logits[label]))


def boxes(sample: Sample, rival: int, table: Table) -> Sequence[Box]:
    """Where the two classes differ in the image."""
    if not isinstance(table.source, DrawnSource):
        return [sample.box]
    other = next(parse_path(s.path)[0] for s in table.samples if s.label == rival)
    visible = table.source.render(sample).parts
    return [visible[part] for part in distinguishing_parts(parse_path(sample.path)[0], other) if part in visible]


def report(model: Classifier, task: Task, *, name: str, curves: int) -> None:
    """Print a row for each baseline and method."""
    step = -(-len(task.labels) // curves) if curves else 0
    side, rng = task.pixels.shape[-1], np.random.default_rng(SEED)
    rows, columns = np.mgrid[:side, :side] - (side - 1) / 2
    centre = np.exp(-(rows**2 + columns**2) / (2 * (side / 6) ** 2)).astype(np.float32)
    noise = [zoom(rng.random((7, 7), np.float32), side / 7, order=1) for _ in task.labels]
    baselines = {"centre": np.repeat(centre[None], len(task.labels), axis=0), "random": np.stack(noise)}
    for method, maps in baselines.items():
        line(name, method, task, rather=maps, alone=maps, model=model, step=step)
    random = blank(model)
    for method in get_args(Method):
        try:
            alone, rather = all_maps(model, task, method)
        except ConfigError:
            continue  # attention where there is none
        untrained = all_maps(random, task.every(step), method)[0] if step else None
        line(name, method, task, rather=rather, alone=alone, model=model, untrained=untrained, step=step)


def blank(model: Classifier) -> Classifier:
    """The same network with random weights; batch norm's statistics are its own, as those of a new network."""
    torch.manual_seed(SEED)
    return build_classifier(
        find_architecture(model.architecture),
        num_classes=model.num_classes,
        preprocessing=model.preprocessing,
        model_args=model.model_args,
    ).eval()


def all_maps(model: Classifier, task: Task, method: Method) -> Maps:
    """[2, N, S, S]: of the true class, and of it rather than the rival."""
    explainer = Explainer.of(model, method=method)
    asked = torch.stack([task.weights(model.num_classes, rather=rather) for rather in (False, True)])
    batches = tqdm(list(zip(task.pixels.split(BATCH), asked.split(BATCH, dim=1), strict=True)), method, leave=False)
    return np.concatenate([explainer.maps(*batch) for batch in batches], axis=1)


def line(
    name: str,
    method: str,
    task: Task,
    *,
    rather: Maps,
    alone: Maps,
    model: Classifier,
    untrained: Maps | None = None,
    step: int = 1,
) -> None:
    """Measure and print a row of the table; what is costly, of the first of each `step` images, or not."""
    points = [rate(list(map(points_inside, maps, task.truth))) for maps in (rather, alone)]
    energy = mean(list(map(energy_inside, rather, task.truth)), task.labels, scale=100)
    deletion = insertion = sanity = "–"
    if step:
        few, alone = task.every(step), alone[::step]
        deletion, insertion = perturbed(model, few, alone)
    if untrained is not None:
        sanity = mean(list(map(rank_correlation, alone, untrained)), few.labels, digits=2)
    cells = [name, method, *points, energy, deletion, insertion, sanity]
    print(f"| {' | '.join(cells)} |", flush=True)


def perturbed(model: Classifier, task: Task, maps: Maps) -> tuple[str, str]:
    """Deletion to the mean colour, and insertion into the blurred image."""

    def probability(label: int) -> Callable[[NDArray[np.float32]], NDArray[np.float64]]:
        @torch.inference_mode()
        def score(images: NDArray[np.float32]) -> NDArray[np.float64]:
            return model(torch.from_numpy(images)).double().softmax(dim=1)[:, label].numpy()

        return score

    deletion, insertion = [], []
    for image, heat, label in zip(task.pixels.numpy(), maps, task.labels, strict=True):
        score = probability(int(label))
        blurred = gaussian_filter(image, sigma=(0, image.shape[1] / 10, image.shape[1] / 10))
        deletion.append(perturbation_area(score, image, np.zeros_like(image), heat, steps=STEPS))
        insertion.append(perturbation_area(score, blurred, image, heat, steps=STEPS))
    return mean(deletion, task.labels, digits=3), mean(insertion, task.labels, digits=3)


def rate(hits: Sequence[bool]) -> str:
    """Per cent, with its interval."""
    low, high = wilson(sum(hits), len(hits))
    return f"{100 * np.mean(hits):.1f} ({100 * low:.1f}–{100 * high:.1f})"


def mean(values: Sequence[float], labels: NDArray[np.int64], *, scale: float = 1, digits: int = 1) -> str:
    """The mean, with its interval for other images."""
    ends = bootstrap_interval(np.array(values), labels, draws=2000) or (np.nan, np.nan)
    return f"{scale * np.mean(values):.{digits}f} ({scale * ends[0]:.{digits}f}–{scale * ends[1]:.{digits}f})"


if __name__ == "__main__":
    main()
