"""CIFAR-10, a ResNet-18 for small images from random weights.

    python main.py --config configs/cifar10_resnet18.py
    python main.py tune --config configs/cifar10_resnet18.py trials=4 epochs=3 fraction=0.4 patience=none train.epochs=8

Measured on one shared CPU core, one seed, n = 10,000, learning from **10,000** images, 1,000 of each class, val among
them: test top-1 68.3 % (67.4-69.2) by the tuned run, rate 0.001, 34 CPU minutes in all; on a copy of the dataset whose
images were compressed again. On all 50,000: not measured.
Reported by others, on all: 83.46 %.
"""

from configs.cifar10_mlp import config as base
from finegrain.models.config import ModelConfig
from finegrain.recipe import Recipe


def config() -> Recipe:
    """Return the recipe."""
    recipe = base()
    recipe.name = "cifar10_resnet18"
    recipe.model = ModelConfig(name="scratch/resnet18")
    return recipe
