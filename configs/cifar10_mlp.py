"""CIFAR-10, a multi-layer perceptron from random weights.

    python main.py --config configs/cifar10_mlp.py
    python main.py tune --config configs/cifar10_mlp.py trials=10 epochs=30

Measured on one shared CPU core, one seed, n = 10,000: test top-1 58.3 % (57.3-59.3) by the tuned run, rate 0.001, 24
epochs, 13 CPU minutes in all; on a copy of the dataset whose images were compressed again.
Reported by others: 54.44 %.
"""

from configs.scratch_base import config as base
from finegrain.data.cifar import Cifar10
from finegrain.data.transforms import AugmentConfig
from finegrain.models.config import ModelConfig
from finegrain.recipe import Recipe


def config() -> Recipe:
    """Return the recipe."""
    recipe = base()
    recipe.name = "cifar10_mlp"
    recipe.data = Cifar10(root="cifar10")
    recipe.augment = AugmentConfig(preset="weak")
    recipe.model = ModelConfig(name="scratch/mlp")
    recipe.train.epochs = 50
    recipe.train.batch_size = 128
    return recipe
