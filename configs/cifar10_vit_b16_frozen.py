"""CIFAR-10 at 224 pixels, ViT-B/16 from ImageNet frozen, the head alone on features computed once.

    python main.py --config configs/cifar10_vit_b16_frozen.py
    python main.py tune --config configs/cifar10_vit_b16_frozen.py

Itself not measured, for lack of the weights. ViT-Tiny from ImageNet in its place, learning from 10,000 images, 1,000 of
each class: 82.9 % (82.1-83.6), n = 10,000, rate 0.0012, 12 CPU minutes, nearly all of it for the features, one seed.
Reported by others: 95.42 %, in 265 minutes, as all images went through the frozen network in each of 45 epochs.
"""

from configs.cifar10_mlp import config as base
from finegrain.data.transforms import AugmentConfig
from finegrain.models.config import ModelConfig
from finegrain.recipe import Recipe
from finegrain.tuning.head import Head


def config() -> Recipe:
    """Return the recipe."""
    recipe = base()
    recipe.name = "cifar10_vit_b16_frozen"
    recipe.augment = AugmentConfig(preset="none")  # the features are then computed once and cached
    recipe.model = ModelConfig(name="torchvision/vit_b_16", weights="IMAGENET1K_V1", crop_fraction=1.0)
    recipe.tuning = Head()
    recipe.optim.lr = 2e-3
    recipe.train.epochs = 20
    return recipe
