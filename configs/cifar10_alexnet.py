"""CIFAR-10, AlexNet for small images from random weights.

    python main.py --config configs/cifar10_alexnet.py

Hardware, minutes and result: not measured.
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
