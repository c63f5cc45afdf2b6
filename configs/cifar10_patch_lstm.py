"""CIFAR-10, a bidirectional LSTM over patches from random weights.

    python main.py --config configs/cifar10_patch_lstm.py
    python main.py tune --config configs/cifar10_patch_lstm.py

Measured on one shared CPU core, one seed, n = 10,000, learning from **10,000** images, 1,000 of each class, val among
them (patience=none trials=3 epochs=1 fraction=0.4 train.epochs=3, far too few to say what it can do): test top-1 24.9 %
(24.1-25.8), 16 CPU minutes in all; on a copy of the dataset whose images were compressed again. On all: not measured.
Reported by others, on all: 68.11 %.
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
