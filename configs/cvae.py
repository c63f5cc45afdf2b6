"""Sixteen drawn bird species by a conditional VAE, whose decoder is the generator of configs/gan.py.

    python main_gan.py --config configs/cvae.py

At 64 pixels not measured. With image_size=32, one shared CPU core, 9 CPU minutes, one seed: kernel distance 0.024 at
the last step, near the floor of 0.011: principal components of pixels do not mind that the birds are blurred. README
compares it.
"""

from configs.gan import config as gan
from finegrain.gan.methods.variational import VaeRecipe


def config() -> VaeRecipe:
    """Return the recipe."""
    of_gan = gan()
    recipe = VaeRecipe(name="cvae", data=of_gan.data, generator=of_gan.generator)
    recipe.train.steps, recipe.train.evaluate_steps = 10000, 1000
    return recipe
