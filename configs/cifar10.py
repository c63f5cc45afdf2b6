"""CIFAR-10, 10 classes: val carved from train, official test.

    python main.py --config configs/cifar10.py

Hardware, minutes and result: not measured.
"""

from configs.base import config as base
from finegrain.data.cifar import Cifar10
from finegrain.recipe import Recipe


def config() -> Recipe:
    """Return the base recipe on this dataset."""
    recipe = base()
    recipe.name = "cifar10"
    recipe.data = Cifar10(root="cifar10")
    return recipe
