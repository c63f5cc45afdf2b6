"""Stanford Dogs, 120 breeds: val carved from train, official test.

    python main.py --config configs/dogs.py

Hardware, minutes and result: not measured.
"""

from configs.base import config as base
from finegrain.data.dogs import Dogs
from finegrain.recipe import Recipe


def config() -> Recipe:
    """Return the base recipe on this dataset."""
    recipe = base()
    recipe.name = "dogs"
    recipe.data = Dogs(root="stanford_dogs")
    return recipe
