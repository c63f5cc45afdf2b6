"""CIFAR-10, nanoViT from random weights: patches of 2 pixels; model.args.patch_size=4 takes patches of 4.

    python main.py --config configs/cifar10_nanovit.py
    python main.py tune --config configs/cifar10_nanovit.py

Measured on one shared CPU core, one seed, n = 10,000, with patches of 4, learning from **10,000** images, 1,000 of each
class, val among them (patience=none trials=4 epochs=4 fraction=0.5 train.epochs=15): test top-1 53.5 % (52.5-54.5),
rate 0.0025, 28 CPU minutes in all; on a copy of the dataset whose images were compressed again. Patches of 2, and all
50,000 images: not measured.
Reported by others, on all: 73.24 %, with patches of 4 pixels 69.90 %.
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
