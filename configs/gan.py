"""Sixteen drawn bird species at 64 pixels: a conditional DCGAN, spectrally normalised, hinge loss, DiffAugment.

    python main_gan.py --config configs/gan.py

Hardware, minutes and result: not measured.
"""

from finegrain.data.synthetic import SyntheticBirds
from finegrain.gan.recipe import GanRecipe


def config() -> GanRecipe:
    """Return the recipe."""
    return GanRecipe(name="gan", data=SyntheticBirds(image_size=64, train_per_species=100, val_per_species=20))
