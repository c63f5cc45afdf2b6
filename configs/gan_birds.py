"""A hundred species of CUB-200-2011 at 64 pixels, each photo cropped to its bird, by configs/gan.py's GAN.

    python main_gan.py --config configs/gan_birds.py

Minutes and result: not measured.
"""

from configs.gan import config as base
from finegrain.data.folder import ImageFolder
from finegrain.gan.methods.adversarial import GanRecipe


def config() -> GanRecipe:
    """Return the recipe."""
    recipe = base()
    recipe.name = "gan_birds"
    recipe.data = ImageFolder(root="birds100")
    recipe.generator.width = 32
    recipe.train.fade_fraction = 0.3  # few photos a class: conditioned from the start, a generator collapses
    return recipe
