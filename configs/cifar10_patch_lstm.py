"""CIFAR-10, a bidirectional LSTM over patches from random weights.

    python main.py --config configs/cifar10_patch_lstm.py

Hardware, minutes and result: not measured. Reported by others: 68.11 %.
"""

from configs.cifar10_mlp import config as base
from finegrain.models.config import ModelConfig
from finegrain.recipe import Recipe


def config() -> Recipe:
    """Return the recipe."""
    recipe = base()
    recipe.name = "cifar10_patch_lstm"
    recipe.model = ModelConfig(name="scratch/patch_lstm")
    return recipe
