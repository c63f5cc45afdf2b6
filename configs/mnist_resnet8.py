"""MNIST, a ResNet-8 from random weights.

    python main.py --config configs/mnist_resnet8.py

Hardware, minutes and result: not measured. Reported by others: 99.28 %.
"""

from configs.mnist_conv1 import config as base
from finegrain.models.config import ModelConfig
from finegrain.recipe import Recipe


def config() -> Recipe:
    """Return the recipe."""
    recipe = base()
    recipe.name = "mnist_resnet8"
    recipe.model = ModelConfig(name="scratch/resnet8")
    return recipe
