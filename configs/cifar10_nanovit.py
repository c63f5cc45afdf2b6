"""CIFAR-10, nanoViT from random weights: patches of 2 pixels; model.args.patch_size=4 takes patches of 4.

    python main.py --config configs/cifar10_nanovit.py

Hardware, minutes and result: not measured. Reported by others: 73.24 %, with patches of 4
pixels 69.90 %.
"""

from configs.cifar10_mlp import config as base
from finegrain.models.config import ModelConfig
from finegrain.recipe import Recipe


def config() -> Recipe:
    """Return the recipe."""
    recipe = base()
    recipe.name = "cifar10_nanovit"
    recipe.model = ModelConfig(name="scratch/nanovit", args={"patch_size": 2})
    recipe.optim.lr = 5e-4
    return recipe
