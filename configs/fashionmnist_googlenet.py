"""FashionMNIST at 96 pixels, GoogLeNet from random weights: for a GPU.

    python main.py --config configs/fashionmnist_googlenet.py

Hardware, minutes and result: not measured.
"""

from configs.fashionmnist_lenet import config as base
from finegrain.models.config import ModelConfig
from finegrain.recipe import Recipe


def config() -> Recipe:
    """Return the recipe."""
    recipe = base()
    recipe.name = "fashionmnist_googlenet"
    recipe.model = ModelConfig(name="scratch/googlenet", args={"in_channels": 1})
    recipe.optim.lr = 5e-4
    return recipe
