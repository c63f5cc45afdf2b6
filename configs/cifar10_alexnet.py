"""CIFAR-10, AlexNet for small images from random weights.

    python main.py --config configs/cifar10_alexnet.py
    python main.py tune --config configs/cifar10_alexnet.py

Measured on one shared CPU core, one seed, n = 10,000, learning from **10,000** images, 1,000 of each class, val among
them (patience=none trials=2 epochs=2 fraction=0.4 train.epochs=4): test top-1 49.4 % (48.4-50.3), rate 0.0003, 9 CPU
minutes in all; on a copy of the dataset whose images were compressed again. On all 50,000: not measured.
"""

from configs.cifar10_mlp import config as base
from finegrain.models.config import ModelConfig
from finegrain.recipe import Recipe


def config() -> Recipe:
    """Return the recipe."""
    recipe = base()
    recipe.name = "cifar10_alexnet"
    recipe.model = ModelConfig(name="scratch/alexnet")
    recipe.optim.lr = 3e-4
    return recipe
