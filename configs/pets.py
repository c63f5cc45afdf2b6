"""Oxford-IIIT Pet, 37 breeds: val carved from train, official test.

    python main.py --config configs/pets.py

Hardware, minutes and result: not measured.
"""

from configs.base import config as base
from finegrain.data.pets import Pets
from finegrain.recipe import Recipe


def config() -> Recipe:
    """Return the base recipe on this dataset."""
    recipe = base()
    recipe.name = "pets"
    recipe.data = Pets(root="oxford-iiit-pet")
    return recipe
