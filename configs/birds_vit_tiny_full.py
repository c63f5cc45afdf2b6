"""100 bird species, ViT-Tiny/16 from ImageNet, every layer trained, lower layers more slowly.

    FINEGRAIN_DATA=FOLDER python main.py --config configs/birds_vit_tiny_full.py

Hardware, minutes and result: not measured.
"""

from configs.base import config as base
from finegrain.data.folder import ImageFolder
from finegrain.models.config import ModelConfig
from finegrain.recipe import Recipe
from finegrain.tuning.full import Full


def config() -> Recipe:
    """Return the recipe."""
    recipe = base()
    recipe.name = "birds_vit_tiny_full"
    recipe.data = ImageFolder(root="birds100")
    recipe.model = ModelConfig(weights="backbones/vit_tiny_patch16_224.augreg_in1k", crop_fraction=1.0)
    recipe.tuning = Full()
    recipe.optim.layer_decay = 0.75
    recipe.train.epochs = 12
    recipe.train.ema_decay = 0.99
    return recipe
