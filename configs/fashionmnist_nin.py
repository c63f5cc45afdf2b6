"""FashionMNIST at 224 pixels, network in network from random weights: for a GPU.

    python main.py --config configs/fashionmnist_nin.py

Hardware, minutes and result: not measured.
"""

from configs.fashionmnist_lenet import config as base
from finegrain.models.config import ModelConfig
from finegrain.recipe import Recipe


def config() -> Recipe:
    """Return the recipe."""
    recipe = base()
    recipe.name = "fashionmnist_nin"
    recipe.model = ModelConfig(name="scratch/nin", args={"in_channels": 1})
    recipe.optim.lr = 5e-4
    return recipe
