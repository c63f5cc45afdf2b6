"""100 bird species, ViT-Tiny/16 from ImageNet, every layer trained, the head from random weights and not from a probe.

    FINEGRAIN_DATA=FOLDER python main.py --config configs/birds_vit_tiny_full_random_head.py

Measured in a short course only, 2 of 8 epochs, three seeds (README): test top-1 83.1 ± 0.7 % (mean ± sd).
As it stands: not measured.
"""

from configs.birds_vit_tiny_full import config as base
from finegrain.recipe import Recipe


def config() -> Recipe:
    """Return the recipe."""
    recipe = base()
    recipe.name = "birds_vit_tiny_full_random_head"
    recipe.tuning.probe_first = False
    return recipe
