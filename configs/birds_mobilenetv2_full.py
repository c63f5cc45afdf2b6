"""100 bird species, MobileNetV2 from ImageNet, every layer trained, lower layers more slowly.

    FINEGRAIN_DATA=FOLDER python main.py --config configs/birds_mobilenetv2_full.py

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
    recipe.name = "birds_mobilenetv2_full"
    recipe.data = ImageFolder(root="birds100")
    recipe.model = ModelConfig(weights="backbones/mobilenetv2_100.in1k", crop_fraction=1.0)
    recipe.augment.min_scale = 0.4
    recipe.augment.mixup = 0.2
    recipe.augment.cutmix = 1.0
    recipe.augment.mix_probability = 0.5
    recipe.model.dropout = 0.2
    recipe.tuning = Full()
    recipe.optim.lr = 1e-3
    recipe.optim.head_lr = 4e-3
    recipe.optim.layer_decay = 0.8
    recipe.train.epochs = 12
    recipe.train.ema_decay = 0.99
    return recipe
