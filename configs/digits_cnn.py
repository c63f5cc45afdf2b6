"""scikit-learn's digits, a convolutional network.

    python main.py --config configs/digits_cnn.py

Hardware, seconds and result: not measured.
"""

from configs.scratch_base import config as base
from finegrain.recipe import Recipe


def config() -> Recipe:
    """Return the recipe."""
    recipe = base()
    recipe.name = "digits_cnn"
    recipe.model.name = "scratch/cnn"
    recipe.model.args = {"in_channels": 1, "channels": (32, 64), "hidden": 128}
    recipe.optim.lr = 3e-3
    return recipe
