"""CUB-200-2011, ViT-B/16 from ImageNet, the last block's attention and the head trained.

    python main.py --config configs/cub_vit_b16_last_attention.py data.root=CUB_200_2011

Hardware, minutes and result: not measured.
"""

from configs.cub_resnet50 import config as base
from finegrain.models.config import ModelConfig
from finegrain.recipe import Recipe
from finegrain.tuning.last_attention import LastAttention


def config() -> Recipe:
    """Return the recipe."""
    recipe = base()
    recipe.name = "cub_vit_b16_last_attention"
    recipe.model = ModelConfig(name="vit_b_16", weights="IMAGENET1K_V1")
    recipe.tuning = LastAttention()
    return recipe
