"""CIFAR-10 at 32 pixels by an AC-GAN.

    python main_gan.py --config configs/acgan_cifar10.py

Minutes and result: not measured.
"""

from configs.gan_cifar10 import config as base
from finegrain.gan.methods.adversarial import GanRecipe


def config() -> GanRecipe:
    """Return the recipe."""
    recipe = base()
    recipe.name = "acgan_cifar10"
    recipe.discriminator.conditioning = "classifier"
    return recipe
