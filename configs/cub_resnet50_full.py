"""CUB-200-2011, ResNet-50, every layer trained, lower layers more slowly.

    python main.py --config configs/cub_resnet50_full.py data.root=CUB_200_2011

Hardware, minutes and result: not measured.
"""

from configs.cub_resnet50 import config as base
from finegrain.recipe import Recipe
from finegrain.tuning.full import Full


def config() -> Recipe:
    """Return the recipe."""
    recipe = base()
    recipe.name = "cub_resnet50_full"
    recipe.tuning = Full()
    recipe.optim.layer_decay = 0.7
    recipe.train.ema_decay = 0.99
    return recipe
