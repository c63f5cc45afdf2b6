"""CUB-200-2011, ResNet-50 frozen, fc trained.

    python main.py --config configs/cub_resnet50_head.py data.root=CUB_200_2011

Hardware, minutes and result: not measured.
"""

from configs.cub_resnet50 import config as base
from finegrain.recipe import Recipe
from finegrain.tuning.head import Head


def config() -> Recipe:
    """Return the recipe."""
    recipe = base()
    recipe.name = "cub_resnet50_head"
    recipe.tuning = Head()
    recipe.optim.lr = 1e-2
    recipe.optim.head_lr = None
    return recipe
