"""MNIST, a vision transformer with patches of 7 pixels from random weights.

    python main.py --config configs/mnist_vit.py

Hardware, minutes and result: not measured. Reported by others: about 99 %.
"""

from configs.mnist_conv1 import config as base
from finegrain.models.config import ModelConfig
from finegrain.recipe import Recipe


def config() -> Recipe:
    """Return the recipe."""
    recipe = base()
    recipe.name = "mnist_vit"
    recipe.model = ModelConfig(name="scratch/mnist_vit")
    recipe.optim.lr = 1e-3
    recipe.train.epochs = 20
    return recipe
