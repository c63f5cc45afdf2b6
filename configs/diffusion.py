"""Sixteen drawn bird species by a class-conditional diffusion model.

    python main_gan.py --config configs/diffusion.py

Minutes and result: not measured.
"""

from configs.gan import config as gan
from finegrain.gan.methods.denoising import DiffusionRecipe


def config() -> DiffusionRecipe:
    """Return the recipe."""
    return DiffusionRecipe(name="diffusion", data=gan().data)
