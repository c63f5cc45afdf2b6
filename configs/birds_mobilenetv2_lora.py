"""100 bird species, MobileNetV2 from ImageNet, LoRA on the pointwise convolutions and the head.

    FINEGRAIN_DATA=FOLDER python main.py --config configs/birds_mobilenetv2_lora.py

The accuracy is not measured.
"""

from configs.birds_mobilenetv2_full import config as base
from finegrain.recipe import Recipe
from finegrain.tuning.lora import Lora


def config() -> Recipe:
    """Return the recipe."""
    recipe = base()
    recipe.name = "birds_mobilenetv2_lora"
    recipe.tuning = Lora(rank=8, probe_first=True)
    recipe.optim.layer_decay = None
    return recipe
