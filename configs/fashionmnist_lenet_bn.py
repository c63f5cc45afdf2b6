"""FashionMNIST, LeNet with batch norm from random weights.

    python main.py --config configs/fashionmnist_lenet_bn.py

Hardware, minutes and result: not measured.
"""

from configs.fashionmnist_lenet import config as base
from finegrain.models.config import ModelConfig
from finegrain.recipe import Recipe


def config() -> Recipe:
    """Return the recipe."""
    recipe = base()
    recipe.name = "fashionmnist_lenet_bn"
    recipe.model = ModelConfig(name="scratch/lenet_bn")
    return recipe
