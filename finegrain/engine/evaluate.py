"""Predict every image of a split once."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from tqdm import tqdm

from finegrain.data.feed import Feed
from finegrain.data.transforms import Views
from finegrain.runtime import Runtime

_IN_WORDS = {
    "flip": "an image and its mirror image",
    "five_crop": "five crops of an image, the centre and the corners",
    "multi_scale": "the centre of an image at several scales",
}


@dataclass(kw_only=True, slots=True)
class EvaluationConfig:
    """How images are judged, in validation as in the test."""

    views: Views = "plain"
    """What probabilities are averaged over: an image alone; with its mirror image; its centre and corners; its centre
    at several scales. Each view takes the time of one image; see `data.transforms.eval_views`."""
    test_curve: bool = False
    """Also judge test after every epoch of a run, for the curves; each is a look at test, and counted."""

    def notes(self) -> list[str]:
        """What a reader of the numbers must know."""
        views = _IN_WORDS.get(self.views)
        return [f"Each prediction is the average over {views} (evaluation.views={self.views})."] if views else []


@dataclass(frozen=True, kw_only=True, slots=True)
class Predictions:
    """What a model said of N images, in the order of the split."""

    paths: tuple[str, ...]
    labels: NDArray[np.int64]
    """True class indices [N]."""
    probabilities: NDArray[np.float64]
    """Of each class [N, K]; each row sums to 1."""


@torch.inference_mode()
def predict(
    model: nn.Module,
    feed: Feed,
    *,
    runtime: Runtime,
    title: str,
    each_batch: Callable[[], None] = lambda: None,
) -> Predictions:
    """Run `model` in eval mode over every sample of `feed`, each exactly once.

    Args:
        model: Maps a view [B, ...] to logits [B, K]; its training mode is restored afterwards.
        feed: Gives the samples in their order; the softmax is averaged over its views.
        runtime: Gives the precision.
        title: Shown beside the progress bar.
        each_batch: Called after each batch; may raise to stop.
    """
    was_training = model.training
    model.eval()
    probabilities, labels = [], []
    for inputs in tqdm(feed.epoch(0), total=len(feed), desc=title, leave=False, disable=None):
        with runtime.autocast():
            logits = torch.stack([model(view).float() for view in inputs.views])
        probabilities.append(logits.double().softmax(dim=2).mean(dim=0))
        labels.append(inputs.labels)
        each_batch()
    model.train(was_training)
    return Predictions(
        paths=tuple(sample.path for sample in feed.samples),
        labels=torch.cat(labels).numpy(),
        probabilities=torch.cat(probabilities).cpu().numpy(),
    )
