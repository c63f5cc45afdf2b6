"""scikit-learn's digits, a vision transformer that sees patches of 2 pixels.

    python main.py --config configs/digits_vit.py

Hardware, seconds and result: not measured.
"""

from configs.scratch_base import config as base
from finegrain.recipe import Recipe


def config() -> Recipe:
    """Return the recipe."""
    recipe = base()
    recipe.name = "digits_vit"
    recipe.model.name = "scratch/mnist_vit"
    recipe.model.args = {"patch_size": 2, "depth": 3}
    recipe.optim.lr = 2e-3
    return recipe
