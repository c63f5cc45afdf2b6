"""Sixteen drawn bird species by a class-conditional diffusion model.

    python main_gan.py --config configs/diffusion.py

Minutes and result: not measured.
"""

from configs.gan import config as gan
from finegrain.gan.methods.denoising import DiffusionRecipe


def config() -> DiffusionRecipe:
    """Return the recipe."""
    recipe = DiffusionRecipe(name="diffusion", data=gan().data)
    recipe.train.steps, recipe.train.evaluate_steps = 2000, 1000
    recipe.runtime.channels_last = False  # on CPUs, where a step in bf16 takes 0.28 s of CPU time in place of 0.50
    return recipe
