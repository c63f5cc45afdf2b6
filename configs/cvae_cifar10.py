"""CIFAR-10 at 32 pixels by a conditional VAE, whose decoder is the generator of configs/gan_cifar10.py.

    python main_gan.py --config configs/cvae_cifar10.py

Minutes and result: not measured.
"""

from configs.gan_cifar10 import config as gan
from finegrain.gan.methods.variational import VaeRecipe


def config() -> VaeRecipe:
    """Return the recipe."""
    of_gan = gan()
    recipe = VaeRecipe(name="cvae_cifar10", image_size=32, data=of_gan.data, generator=of_gan.generator)
    recipe.encoder.width = 64
    recipe.train.steps, recipe.train.evaluate_steps = 20000, 1000
    return recipe
