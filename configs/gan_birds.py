"""A hundred species of CUB-200-2011 at 64 pixels, each photo cropped to its bird, by configs/gan.py's GAN.

    python main_gan.py --config configs/gan_birds.py

Measured on one shared CPU core, bf16, about 37 CPU minutes, one seed: kernel distance to val 0.131 (0.110 to 0.152; 500
generated and 300 real images, 64 principal components of pixels), smallest at the last step, floor 0.013. Colours and
outlines of species are there, few whole birds. README has the verdict on its images.
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
