"""Sixteen drawn bird species by a ReACGAN: the second head puts images near their class on a sphere.

    python main_gan.py --config configs/reacgan.py

Minutes and result: not measured.
"""

from configs.gan import config as base
from finegrain.gan.methods.adversarial import GanRecipe


def config() -> GanRecipe:
    """Return the recipe."""
    recipe = base()
    recipe.name = "reacgan"
    recipe.discriminator.conditioning = "reacgan"
    return recipe
