"""scikit-learn's digits at 28 pixels, LeNet with ReLUs.

    python main.py --config configs/digits_lenet.py

Hardware, seconds and result: not measured.
"""

from configs.scratch_base import config as base
from finegrain.recipe import Recipe


def config() -> Recipe:
    """Return the recipe."""
    recipe = base()
    recipe.name = "digits_lenet"
    recipe.model.name = "scratch/lenet_relu"
    recipe.model.image_size = 28
    recipe.model.args = {}
    recipe.optim.lr = 2e-3
    return recipe
