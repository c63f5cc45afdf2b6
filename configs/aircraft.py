"""FGVC-Aircraft, 100 variants: official train, val and test.

    python main.py --config configs/aircraft.py

Hardware, minutes and result: not measured.
"""

from configs.base import config as base
from finegrain.data.aircraft import Aircraft
from finegrain.recipe import Recipe


def config() -> Recipe:
    """Return the base recipe on this dataset."""
    recipe = base()
    recipe.name = "aircraft"
    recipe.data = Aircraft(root="fgvc-aircraft-2013b")
    return recipe
