"""Stanford Cars, 196 models: val carved from train, official test.

    python main.py --config configs/cars.py

Hardware, minutes and result: not measured.
"""

from configs.base import config as base
from finegrain.data.cars import Cars
from finegrain.recipe import Recipe


def config() -> Recipe:
    """Return the base recipe on this dataset."""
    recipe = base()
    recipe.name = "cars"
    recipe.data = Cars(root="stanford_cars")
    return recipe
