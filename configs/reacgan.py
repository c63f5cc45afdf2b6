"""Sixteen drawn bird species by a ReACGAN: the second head puts images near their class on a sphere.

    python main_gan.py --config configs/reacgan.py

At 64 pixels not measured. With image_size=32 train.steps=3000 train.patience=none, one shared CPU core, 8 CPU minutes,
one seed: kernel distance 0.26 at the last step. README compares it.
"""

from configs.gan import config as base
from finegrain.gan.methods.adversarial import GanRecipe


def config() -> GanRecipe:
    """Return the recipe."""
    recipe = base()
    recipe.name = "reacgan"
    recipe.discriminator.conditioning = "reacgan"
    return recipe
