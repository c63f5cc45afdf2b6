"""A few drawn images, a tiny network and its runtime: what every test of the features starts from."""

import random
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn

from finegrain.data.base import Sample
from finegrain.data.image import FileSource
from finegrain.models.classifier import Classifier
from finegrain.models.config import ModelConfig
from finegrain.runtime import Precision, Runtime


def runtime(precision: Precision = "fp32", *, num_workers: int = 0) -> Runtime:
    return Runtime(
        device=torch.device("cpu"),
        precision=precision,
        channels_last=True,
        num_workers=num_workers,
        deterministic=True,
    )


def classifier(name: str = "timm/test_resnet", *, image_size: int | None = 32) -> Classifier:
    """A network with random weights and with BatchNorm statistics as training would leave them."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = ModelConfig(name=name, image_size=image_size).build(num_classes=5)
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.normal_(module.running_mean, std=0.1)
                nn.init.uniform_(module.running_var, 0.5, 2)
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.normal_(module.bias, std=0.1)
    return model


def images(folder: Path, count: int, *, draw: bool = True) -> tuple[list[Sample], FileSource]:
    """PNG files of unlike sizes and their source; they lie there already where `draw` is off."""
    if draw:
        folder.mkdir(parents=True, exist_ok=True)
        chance = np.random.default_rng(0)
        for number in range(count):
            low = chance.integers(0, 256, (4, 5, 3), dtype=np.uint8)
            assert cv2.imwrite(str(folder / f"{number}.png"), cv2.resize(low, (48 + number, 40)))
    samples = [Sample(path=f"{number}.png", label=number % 5) for number in range(count)]
    return samples, FileSource(folder, 10**6)


def shuffled(samples: list[Sample]) -> list[Sample]:
    return random.Random(0).sample(samples, len(samples))
