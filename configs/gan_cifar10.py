"""CIFAR-10 at 32 pixels by configs/gan.py's GAN: val carved from train.

    python main_gan.py --config configs/gan_cifar10.py

As it stands not measured. With width 48, stopped after 5,000 of 12,000 steps, one shared CPU core, about 18 CPU
minutes, one seed: kernel distance to val 0.083 (1,000 generated and 5,000 real images, 64 principal components of
pixels), still falling. Ships, cars and planes can be made out.
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
