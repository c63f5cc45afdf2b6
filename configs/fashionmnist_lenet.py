"""FashionMNIST, LeNet with sigmoids from random weights.

    python main.py --config configs/fashionmnist_lenet.py

Hardware, minutes and result: not measured.
"""

from configs.scratch_base import config as base
from finegrain.data.idx import FashionMnist
from finegrain.data.transforms import AugmentConfig
from finegrain.models.config import ModelConfig
from finegrain.recipe import Recipe


def config() -> Recipe:
    """Return the recipe."""
    recipe = base()
    recipe.name = "fashionmnist_lenet"
    recipe.data = FashionMnist(root="fashion_mnist")
    recipe.augment = AugmentConfig(preset="weak", min_scale=0.7)
    recipe.model = ModelConfig(name="scratch/lenet")
    recipe.optim.lr = 3e-3
    recipe.train.epochs = 20
    return recipe
