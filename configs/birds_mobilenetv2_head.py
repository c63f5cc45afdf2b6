"""100 bird species, MobileNetV2 from ImageNet, the head trained on the frozen backbone.

    FINEGRAIN_DATA=FOLDER python main.py --config configs/birds_mobilenetv2_head.py

Hardware, minutes and result: not measured.
"""

from configs.base import config as base
from finegrain.data.folder import ImageFolder
from finegrain.models.config import ModelConfig
from finegrain.recipe import Recipe
from finegrain.tuning.head import Head


def config() -> Recipe:
    """Return the recipe."""
    recipe = base()
    recipe.name = "birds_mobilenetv2_head"
    recipe.data = ImageFolder(root="birds100")
    recipe.model = ModelConfig(weights="backbones/mobilenetv2_100.in1k")
    recipe.tuning = Head()
    return recipe
