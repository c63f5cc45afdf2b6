"""Oxford Flowers-102, 102 flowers: official train, val and test.

    python main.py --config configs/flowers.py

Hardware, minutes and result: not measured.
"""

from configs.base import config as base
from finegrain.data.flowers import Flowers
from finegrain.recipe import Recipe


def config() -> Recipe:
    """Return the base recipe on this dataset."""
    recipe = base()
    recipe.name = "flowers"
    recipe.data = Flowers(root="flowers-102")
    return recipe
