"""scikit-learn's digits, a multi-layer perceptron.

    python main.py --config configs/digits_mlp.py

Hardware, seconds and result: not measured.
"""

from configs.scratch_base import config as base
from finegrain.recipe import Recipe


def config() -> Recipe:
    """Return the recipe."""
    recipe = base()
    recipe.name = "digits_mlp"
    recipe.model.args = {"in_channels": 1, "hidden": (256, 128)}
    recipe.optim.lr = 2e-3
    return recipe
