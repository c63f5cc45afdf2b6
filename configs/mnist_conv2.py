"""MNIST, two convolutions with LeakyReLUs from random weights.

    python main.py --config configs/mnist_conv2.py

Hardware, minutes and result: not measured. Reported by others: 99.26 %.
"""

from configs.mnist_conv1 import config as base
from finegrain.models.config import ModelConfig
from finegrain.recipe import Recipe


def config() -> Recipe:
    """Return the recipe."""
    recipe = base()
    recipe.name = "mnist_conv2"
    recipe.model = ModelConfig(name="scratch/mnist_conv2")
    return recipe
