"""Sixteen drawn bird species by a class-conditional diffusion model.

    python main_gan.py --config configs/diffusion.py

Minutes and result: not measured.
"""

from configs.gan import config as gan
from finegrain.gan.methods.denoising import DiffusionRecipe


def config() -> DiffusionRecipe:
    """Return the recipe."""
    recipe = DiffusionRecipe(name="diffusion", data=gan().data)
    recipe.train.steps, recipe.train.evaluate_steps = 1500, 750
    return recipe
