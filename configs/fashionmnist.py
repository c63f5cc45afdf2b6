"""FashionMNIST, 10 kinds of clothing: val carved from train, official test.

    python main.py --config configs/fashionmnist.py

Hardware, minutes and result: not measured.
"""

from configs.base import config as base
from finegrain.data.idx import FashionMnist
from finegrain.recipe import Recipe


def config() -> Recipe:
    """Return the base recipe on this dataset."""
    recipe = base()
    recipe.name = "fashionmnist"
    recipe.data = FashionMnist(root="fashion_mnist")
    return recipe
