"""CIFAR-10 at 32 pixels by a class-conditional diffusion model.

    python main_gan.py --config configs/diffusion_cifar10.py

Minutes and result: not measured.
"""

from configs.gan_cifar10 import config as gan
from finegrain.gan.methods.denoising import DiffusionRecipe


def config() -> DiffusionRecipe:
    """Return the recipe."""
    recipe = DiffusionRecipe(name="diffusion_cifar10", image_size=32, data=gan().data)
    recipe.denoiser.width = 64
    recipe.train.steps, recipe.train.evaluate_steps = 20000, 2000
    return recipe
