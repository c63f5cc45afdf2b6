"""What the birds_* configs share: 100 species of CUB-200-2011, each photo cropped to its bird.

    FINEGRAIN_DATA=FOLDER python main.py --config configs/birds.py

By itself ResNet-50 with torchvision's weights, layer4 and the head trained; not measured.
"""

from configs.base import config as base
from finegrain.data.folder import ImageFolder
from finegrain.data.transforms import AugmentConfig
from finegrain.recipe import Recipe


def config() -> Recipe:
    """Return the recipe."""
    recipe = base()
    recipe.name = "birds"
    recipe.data = ImageFolder(root="birds100")
    recipe.augment = AugmentConfig(min_scale=0.4)
    recipe.model.crop_fraction = 1.0  # the photos are cropped already: a centre crop would cut off beaks and tails
    recipe.train.ema_decay = 0.99
    recipe.train.monitor = "last"  # 300 val photos tell good epochs apart by chance
    recipe.evaluation.views = "flip"
    return recipe
