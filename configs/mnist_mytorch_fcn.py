"""MNIST, a fully connected network on the project's NumPy engine.

    python main.py --config configs/mnist_mytorch_fcn.py

Hardware, minutes and result: not measured.
"""

from configs.mnist_mytorch_lenet import config as base
from finegrain.models.config import ModelConfig
from finegrain.recipe import Recipe


def config() -> Recipe:
    """Return the recipe."""
    recipe = base()
    recipe.name = "mnist_mytorch_fcn"
    recipe.model = ModelConfig(name="scratch/mytorch_fcn")
    return recipe
