"""Sixteen drawn bird species by a conditional VAE, whose decoder is the generator of configs/gan.py.

    python main_gan.py --config configs/cvae.py

Minutes and result: not measured.
"""

from configs.gan import config as gan
from finegrain.gan.methods.variational import VaeRecipe


def config() -> VaeRecipe:
    """Return the recipe."""
    of_gan = gan()
    recipe = VaeRecipe(name="cvae", data=of_gan.data, generator=of_gan.generator)
    recipe.train.steps, recipe.train.evaluate_steps = 10000, 1000
    return recipe
