"""Food-101, 101 dishes: val carved from train, official test.

    python main.py --config configs/food101.py

Hardware, minutes and result: not measured.
"""

from configs.base import config as base
from finegrain.data.food import Food101
from finegrain.recipe import Recipe


def config() -> Recipe:
    """Return the base recipe on this dataset."""
    recipe = base()
    recipe.name = "food101"
    recipe.data = Food101(root="food-101")
    return recipe
