"""A config file whose runs take a second or two, and the images that they learn from.

Everything that draws random numbers is on: shuffling, random crops, mixup, dropout.
"""

from pathlib import Path

import numpy as np
from PIL import Image

from finegrain.data.folder import ImageFolder
from finegrain.data.transforms import AugmentConfig
from finegrain.engine.trainer import TrainConfig
from finegrain.losses.label_smoothing import LabelSmoothing
from finegrain.models.config import ModelConfig
from finegrain.optim.adamw import AdamW
from finegrain.optim.cosine import Cosine
from finegrain.recipe import Recipe
from finegrain.runtime import RuntimeConfig
from finegrain.tuning.full import Full

CLASSES = ("auk", "bee_eater", "crane")
COUNTS = {"train": 5, "val": 2, "test": 1}
"""Images of a class in each split."""


def config() -> Recipe:
    """Three epochs of four steps, the last batch short."""
    return Recipe(
        name="tiny",
        data=ImageFolder(root="images"),
        augment=AugmentConfig(preset="strong", mixup=0.4, mix_probability=0.5),
        model=ModelConfig(name="timm/test_resnet", image_size=32, dropout=0.2),
        tuning=Full(probe_first=True),
        loss=LabelSmoothing(smoothing=0.1),
        optim=AdamW(lr=3e-3, weight_decay=0.05),
        schedule=Cosine(warmup_epochs=1.0),
        train=TrainConfig(epochs=3, batch_size=4, ema_decay=0.9),
        runtime=RuntimeConfig(device="cpu", precision="fp32", threads=1),
    )


def write_images(root: Path) -> Path:
    """Write 24 images of 32 × 32, each class of its own colour; return their folder."""
    random = np.random.default_rng(0)
    for split, count in COUNTS.items():
        for label, name in enumerate(CLASSES):
            folder = root / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = random.integers(0, 100, (32, 32, 3), dtype=np.uint8)
                pixels[..., label] += 120
                Image.fromarray(pixels).save(folder / f"{number}.png")
    return root
