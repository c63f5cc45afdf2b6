"""Predict every image of a split once."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from tqdm import tqdm

from finegrain.data.loader import Loader
from finegrain.data.transforms import normalize
from finegrain.preprocessing import Preprocessing
from finegrain.runtime import Runtime


@dataclass(kw_only=True, slots=True)
class EvaluationConfig:
    """How images are judged, in validation as in the test."""

    flip: bool = False
    """Average the probabilities of each image and its mirror image: twice the time, often a little better."""


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
    loader: Loader,
    *,
    preprocessing: Preprocessing,
    runtime: Runtime,
    title: str,
    flip: bool = False,
    each_batch: Callable[[], None] = lambda: None,
) -> Predictions:
    """Run `model` in eval mode over every image of `loader`, each exactly once.

    Args:
        model: Maps images [B, 3, H, W] to logits [B, K]; its training mode is restored afterwards.
        loader: Yields uint8 batches in the order of its samples.
        preprocessing: What the model expects of images.
        runtime: Gives the device and the precision.
        title: Shown beside the progress bar.
        flip: Average the softmax of each image and of its mirror image.
        each_batch: Called after each batch; may raise to stop.
    """
    was_training = model.training
    model.eval()
    probabilities, labels = [], []
    for batch in tqdm(loader.epoch(0), total=len(loader), desc=title, leave=False, disable=None):
        images = normalize(runtime.place_images(batch.images), preprocessing)
        views = (images, images.flip(3)) if flip else (images,)
        with runtime.autocast():
            logits = torch.stack([model(view).float() for view in views])
        probabilities.append(logits.double().softmax(dim=2).mean(dim=0))
        labels.append(batch.labels)
        each_batch()
    model.train(was_training)
    return Predictions(
        paths=tuple(sample.path for sample in loader.samples),
        labels=torch.cat(labels).numpy(),
        probabilities=torch.cat(probabilities).cpu().numpy(),
    )
