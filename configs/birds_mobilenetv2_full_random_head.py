"""100 bird species, MobileNetV2 from ImageNet, every layer trained, the head from random weights and not from a probe.

    FINEGRAIN_DATA=FOLDER python main.py --config configs/birds_mobilenetv2_full_random_head.py

Measured in a short course only, 3 of 12 epochs, three seeds (README): test top-1 76.8 ± 1.0 % (mean ± sd).
As it stands: not measured.
"""

from configs.birds_mobilenetv2_full import config as base
from finegrain.recipe import Recipe


def config() -> Recipe:
    """Return the recipe."""
    recipe = base()
    recipe.name = "birds_mobilenetv2_full_random_head"
    recipe.tuning.probe_first = False
    return recipe
