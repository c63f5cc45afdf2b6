"""`--filter`: a classifier says whether a generated image shows the class that was asked for."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from finegrain.config import read_dump
from finegrain.data.generated import TRAIN_IMAGES
from finegrain.data.transforms import eval_transform, normalize
from finegrain.engine.checkpoint import read_json
from finegrain.errors import CheckpointError, fault
from finegrain.gan.networks.sampler import SAMPLES_AT_ONCE
from finegrain.gan.pictures import to_pixels
from finegrain.models.classifier import Classifier
from finegrain.models.tensors import digest
from finegrain.models.weights import CONFIG_NAME, TENSORS_NAME
from finegrain.runtime import Runtime
from finegrain.trained import find_models


@dataclass(frozen=True, kw_only=True, slots=True)
class Filter:
    """Scores images: a score is the classifier's probability of the class that was asked for."""

    classifier: Classifier
    class_names: tuple[str, ...]
    """Of the generator, in the order of its labels."""
    columns: tuple[int, ...]
    """The classifier's output for each of them."""
    threshold: float | None
    """Least probability; None: the class asked for must be the most probable."""
    runtime: Runtime
    settings: Mapping[str, Any]
    """What the images that are kept depend on, plain JSON."""
    train_images: frozenset[str] | None
    """`Data.train_images` of what it was trained on; None where that is not known."""

    @torch.inference_mode()
    def __call__(self, images: Tensor, labels: Sequence[int]) -> list[tuple[float, str | None]]:
        """The score of each image, and why it is refused, if it is.

        Args:
            images: Float [N, 3, S, S] in [-1, 1], at most `SAMPLES_AT_ONCE`.
            labels: The generator's, N of them.
        """
        preprocessing = self.classifier.preprocessing
        transform = eval_transform(preprocessing)
        shown = torch.from_numpy(np.stack([transform(image=pixels)["image"] for pixels in to_pixels(images)]))
        # Filled up to one size, as the generator's batches are: what else is in a batch must not change a score.
        rows = torch.arange(SAMPLES_AT_ONCE).clamp(max=len(shown) - 1)
        batch = normalize(self.runtime.place_images(shown[rows].permute(0, 3, 1, 2)), preprocessing)
        found = self.classifier(batch)[: len(shown)].double().softmax(dim=1).cpu()[:, list(self.columns)]
        return [self._judge(each.tolist(), label) for each, label in zip(found, labels, strict=True)]

    def _judge(self, probabilities: Sequence[float], label: int) -> tuple[float, str | None]:
        score, most = probabilities[label], max(probabilities)
        shows = f"most probably {self.class_names[probabilities.index(most)]}, {most:.3f}"
        if score < (most if self.threshold is None else self.threshold):
            return round(score, 6), f"filter: {score:.3f} for its class; {shows}"
        return round(score, 6), None


def open_filter(path: Path, *, class_names: tuple[str, ...], threshold: float | None, runtime: Runtime) -> Filter:
    """The classifier at `path`: the directory of a run, or a folder in timm's hub layout.

    Raises:
        CheckpointError: There is none, it is damaged, or of other classes than the generator.
        WeightsError: Its weights are damaged.
    """
    (found,) = find_models([path])
    if differ := sorted(set(found.class_names) ^ set(class_names)):
        got = f"{differ[0]!r}, which only the {'filter' if differ[0] in found.class_names else 'generator'} knows"
        what, remedy = f"the classes of the filter {path} are not the generator's", "name a classifier of these classes"
        raise CheckpointError(fault(what, got=got, expected=f"the generator's {len(class_names)}", remedy=remedy))
    exact = dataclasses.replace(runtime, precision="fp32")
    file = found.folder / TRAIN_IMAGES
    seen = frozenset(file.read_text(encoding="ascii").split()) if file.is_file() else None
    sha256, taught_by = digest(found.folder / TENSORS_NAME), _taught_by(found.folder)
    return Filter(
        classifier=found.load(exact, trust=False).eval(),
        class_names=class_names,
        columns=tuple(found.class_names.index(name) for name in class_names),
        threshold=threshold,
        runtime=exact,
        settings={
            "checkpoint": sha256,
            "threshold": threshold,
            "knows_its_train_images": seen is not None,
            **({} if taught_by is None else {"taught_by": taught_by}),
        },
        train_images=seen,
    )


def _taught_by(folder: Path) -> str | None:
    """The generated images that the classifier learned from, by the recipe beside its weights, if it has one."""
    try:
        recipe = read_json(folder / CONFIG_NAME, dict)["extra"]["recipe"]
        found = read_dump(recipe).get("data.synthetic")
    except (KeyError, TypeError, ValueError):  # the folder is from elsewhere: nothing is known
        return None
    return None if found is None else str(found)
