"""MNIST, 10 digits: val carved from train, official test.

    python main.py --config configs/mnist.py

Hardware, minutes and result: not measured.
"""

from configs.base import config as base
from finegrain.data.idx import Mnist
from finegrain.recipe import Recipe


def config() -> Recipe:
    """Return the base recipe on this dataset."""
    recipe = base()
    recipe.name = "mnist"
    recipe.data = Mnist(root="mnist")
    return recipe
