"""CIFAR-10, a convolutional network from random weights.

    python main.py --config configs/cifar10_cnn.py

Hardware, minutes and result: not measured. Reported by others: 77.33 %.
"""

from configs.cifar10_mlp import config as base
from finegrain.models.config import ModelConfig
from finegrain.recipe import Recipe


def config() -> Recipe:
    """Return the recipe."""
    recipe = base()
    recipe.name = "cifar10_cnn"
    recipe.model = ModelConfig(name="scratch/cnn")
    return recipe
