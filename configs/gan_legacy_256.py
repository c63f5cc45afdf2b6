"""The DCGAN of 2016 at 256 pixels, for comparison: transposed convolutions, batch norm in both networks, one step each.

    python main_gan.py --config configs/gan_legacy_256.py

Minutes and result: not measured.
"""

from configs.gan import config as base
from finegrain.data.synthetic import SyntheticBirds
from finegrain.gan.augment import DiffAugment
from finegrain.gan.losses import NonSaturating
from finegrain.gan.methods.adversarial import GanRecipe, GanTrainConfig
from finegrain.gan.networks.discriminator import DiscriminatorConfig
from finegrain.gan.networks.generator import GeneratorConfig


def config() -> GanRecipe:
    """Return the recipe."""
    recipe = base()
    recipe.name = "gan_legacy_256"
    recipe.image_size = 256
    recipe.data = SyntheticBirds(image_size=256, train_per_species=100, val_per_species=20)
    recipe.generator = GeneratorConfig(style="transposed", conditioning="concat", noise_dim=100, width=64)
    recipe.discriminator = DiscriminatorConfig(conditioning="concat", normalisation="batch", width=64)
    recipe.loss = NonSaturating()
    recipe.augment = DiffAugment(flip=0.0, translation=0.0, cutout=0.0)
    recipe.train = GanTrainConfig(batch_size=128, discriminator_steps=1)
    return recipe
