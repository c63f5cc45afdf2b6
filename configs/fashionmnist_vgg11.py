"""FashionMNIST at 224 pixels, VGG-11 from random weights: for a GPU.

    python main.py --config configs/fashionmnist_vgg11.py

Hardware, minutes and result: not measured.
"""

from configs.fashionmnist_lenet import config as base
from finegrain.models.config import ModelConfig
from finegrain.recipe import Recipe


def config() -> Recipe:
    """Return the recipe."""
    recipe = base()
    recipe.name = "fashionmnist_vgg11"
    recipe.model = ModelConfig(name="scratch/vgg11", args={"in_channels": 1})
    recipe.optim.lr = 1e-4
    recipe.train.epochs = 10
    return recipe
