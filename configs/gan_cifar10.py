"""CIFAR-10 at 32 pixels by configs/gan.py's GAN: val carved from train.

    python main_gan.py --config configs/gan_cifar10.py

Minutes and result: not measured.
"""

from configs.gan import config as base
from finegrain.data.cifar import Cifar10
from finegrain.gan.methods.adversarial import GanRecipe


def config() -> GanRecipe:
    """Return the recipe."""
    recipe = base()
    recipe.name = "gan_cifar10"
    recipe.image_size = 32
    recipe.data = Cifar10(root="cifar10")
    recipe.generator.width = recipe.discriminator.width = 64
    recipe.train.steps, recipe.train.evaluate_steps = 20000, 1000
    return recipe
