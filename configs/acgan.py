"""Sixteen drawn bird species by an AC-GAN: a second head of the discriminator names the class.

    python main_gan.py --config configs/acgan.py

Minutes and result: not measured.
"""

from configs.gan import config as base
from finegrain.gan.methods.adversarial import GanRecipe


def config() -> GanRecipe:
    """Return the recipe."""
    recipe = base()
    recipe.name = "acgan"
    recipe.discriminator.conditioning = "classifier"
    return recipe
