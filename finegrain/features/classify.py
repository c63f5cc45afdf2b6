"""What a classifier says of image files, at the speed of extraction; a file that cannot be read stops nothing."""

import logging
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from finegrain.data.base import Sample, Source
from finegrain.data.loader import Loader
from finegrain.data.transforms import Transform, Views, eval_transform, eval_views, normalize
from finegrain.errors import DataError
from finegrain.features.compiling import compiled
from finegrain.features.extract import BATCH_SIZE, COMPARED, padded
from finegrain.features.inference import FrozenBackbone, batch_that_fits, frozen
from finegrain.models.classifier import Classifier
from finegrain.runtime import Runtime

logger = logging.getLogger(__name__)

ROUNDING = 2.0
"""How many times as far from fp32 as evaluation in bf16 the fast form may be."""
SMALLEST = 0.02
"""Mean relative difference of centred logits that is none."""

Network = Callable[[Tensor], Tensor]
"""Maps normalised images float32 [B, 3, S, S] to logits float32 [B, K]."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Said:
    """What was said of N images."""

    probabilities: NDArray[np.float64]
    """Of each class [N, K]; of a file that cannot be read they mean nothing."""
    unreadable: dict[int, str]
    """Why, by the position of the file."""


def classify(
    samples: Sequence[Sample],
    *,
    source: Source,
    classifier: Classifier,
    runtime: Runtime,
    views: Views = "plain",
    batch_size: int | None = None,
    title: str = "predicting",
) -> Said:
    """Predict every sample once, as `engine.evaluate.predict` does, through the fast frozen network in bf16.

    Args:
        samples: One or more; their labels have no part in it.
        source: Reads their pixels.
        classifier: On its device; put into eval mode.
        runtime: Gives the device, the precision and the loader's processes.
        views: What the softmax is averaged over.
        batch_size: None: what suits the device.
        title: Shown beside the progress bar.

    Raises:
        ConfigError: The network's resize is smaller than its crop.
    """
    preprocessing = classifier.eval().preprocessing
    side, shown = preprocessing.image_size, eval_views(preprocessing, views)
    transform = eval_transform(preprocessing, shown)
    load = partial(Loader, source=_Tolerant(source), transform=transform, seed=0, train=False)
    some = [samples[round(place)] for place in np.linspace(0, len(samples) - 1, min(len(samples), COMPARED))]
    (probe,) = load(some, batch_size=len(some)).epoch(0)
    network, size = _network(
        classifier,
        normalize(runtime.place_images(probe.images[:, :, :side]), preprocessing),
        runtime=runtime,
        images=len(samples) * len(shown),
        batch_size=min(batch_size or BATCH_SIZE[runtime.device.type], len(samples)),
    )
    probabilities: list[Tensor] = []
    unreadable: dict[int, str] = {}
    loader = load(samples, batch_size=size, num_workers=runtime.num_workers)
    with tqdm(total=len(samples), desc=title, unit="image", leave=False, disable=None) as progress:
        for batch in loader.epoch(0):
            squares = torch.split(padded(batch.images, size), side, dim=2)
            logits = [network(normalize(runtime.place_images(square), preprocessing)) for square in squares]
            said = torch.stack(logits).double().softmax(dim=2).mean(dim=0)[: len(batch.indices)]
            probabilities.append(said.cpu())
            for index in batch.indices[batch.images.amax(dim=(1, 2, 3)) == 0].tolist():
                reason = _why_blank(samples[index], source, transform)
                unreadable |= {index: reason} if reason else {}
            progress.update(len(said))
    return Said(probabilities=torch.cat(probabilities).numpy(), unreadable=unreadable)


@dataclass(frozen=True, slots=True)
class _Tolerant:
    """A source that gives a black pixel for what cannot be read, from worker processes too."""

    source: Source

    def read(self, sample: Sample) -> NDArray[np.uint8]:
        try:
            return self.source.read(sample)
        except DataError:
            return np.zeros((1, 1, 3), np.uint8)


def _why_blank(sample: Sample, source: Source, transform: Transform) -> str | None:
    """Why a sample came out black: the reason why it cannot be read, without the remedy; None where it is black."""
    try:
        seen = transform(image=source.read(sample))["image"]
    except DataError as error:
        return str(error).rpartition("; ")[0]
    return f"{sample.path} changed while it was read" if seen.any() else None


def _network(
    classifier: Classifier, probe: Tensor, *, runtime: Runtime, images: int, batch_size: int
) -> tuple[Network, int]:
    """The classifier as a function, and the batch size for it.

    In bf16 it is the frozen backbone, folded, cast and perhaps compiled, and the head in fp32, if that is about as near
    to fp32 on the `probe` [B, 3, S, S] as the classifier as evaluation runs it; otherwise it is the latter.
    """

    @torch.inference_mode()
    def as_evaluated(images: Tensor, exact: bool = False) -> Tensor:
        with nullcontext() if exact else runtime.autocast():
            logits: Tensor = classifier(images).float()
        return logits

    head = classifier.get_submodule(classifier.head_name)
    if runtime.precision != "bf16" or not isinstance(head, nn.Linear):
        return as_evaluated, batch_size

    @torch.inference_mode()
    def fast(backbone: FrozenBackbone, images: Tensor) -> Tensor:
        logits: Tensor = head(backbone(images))
        return logits

    backbone = frozen(classifier, runtime)
    exact = as_evaluated(probe, exact=True)
    allowed = max(ROUNDING * _difference(as_evaluated(probe), exact), SMALLEST)
    fits = backbone(probe).shape[1] == head.in_features
    found = _difference(fast(backbone, probe), exact) if fits else np.inf
    if found > allowed:
        logger.info("the network runs as in evaluation: its fast form is off by %.3f, not %.3f", found, allowed)
        return as_evaluated, batch_size
    batch_size = batch_that_fits(backbone, batch_size)
    return partial(fast, compiled(backbone, images=images, batch_size=batch_size)), batch_size


def _difference(found: Tensor, expected: Tensor) -> float:
    """‖found − expected‖ / ‖expected‖ of logits [B, K] less what they add to every class, mean over the images."""
    a, b = (logits - logits.mean(dim=1, keepdim=True) for logits in (found, expected))
    return float(((a - b).norm(dim=1) / b.norm(dim=1).clamp(min=1e-6)).mean())
