"""CUB-200-2011, ResNet-50 from ImageNet, layer4 and fc trained, 256 → 224, AdamW.

    python main.py --config configs/cub_resnet50.py data.root=CUB_200_2011

Hardware, minutes and result: not measured.
"""

from configs.base import config as base
from finegrain.data.cub import Cub
from finegrain.data.transforms import AugmentConfig
from finegrain.recipe import Recipe


def config() -> Recipe:
    """Return the recipe."""
    recipe = base()
    recipe.name = "cub_resnet50"
    recipe.data = Cub(root="CUB_200_2011")
    recipe.augment = AugmentConfig(preset="medium", crop="resize_crop", resize_size=256)
    recipe.model.crop_fraction = 224 / 256
    recipe.train.epochs = 30
    return recipe
