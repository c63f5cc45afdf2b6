"""CIFAR-10, a multi-layer perceptron from random weights.

    python main.py --config configs/cifar10_mlp.py

Hardware, minutes and result: not measured. Reported by others: 54.44 %.
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
