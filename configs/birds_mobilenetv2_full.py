"""100 bird species, MobileNetV2 from ImageNet, every layer trained, lower layers more slowly.

    FINEGRAIN_DATA=FOLDER python main.py --config configs/birds_mobilenetv2_full.py

Hardware, minutes and result: not measured.
"""

from configs.birds import config as base
from finegrain.recipe import Recipe
from finegrain.tuning.full import Full


def config() -> Recipe:
    """Return the recipe."""
    recipe = base()
    recipe.name = "birds_mobilenetv2_full"
    recipe.model.weights = "backbones/mobilenetv2_100.in1k"
    recipe.model.name = ""
    recipe.tuning = Full(probe_first=True, frozen_statistics=True)
    recipe.optim.lr = 1e-3
    recipe.optim.layer_decay = 0.9
    recipe.train.epochs = 6
    recipe.train.ema_decay = 0.997  # long enough to hold some of the pretrained weights: better than the last ones
    recipe.runtime.precision = "fp32"  # bf16 costs this network's features half a point in a probe
    return recipe
