"""CIFAR-10, a ResNet-18 for small images from random weights.

    python main.py --config configs/cifar10_resnet18.py

Hardware, minutes and result: not measured. Reported by others: 83.46 %.
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
