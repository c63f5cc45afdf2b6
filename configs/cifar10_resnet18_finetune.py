"""CIFAR-10 at 64 pixels, ResNet-18 from ImageNet, all of it trained.

    python main.py --config configs/cifar10_resnet18_finetune.py
    python main.py tune --config configs/cifar10_resnet18_finetune.py

Itself not measured, for lack of the weights. MobileNetV2 from ImageNet in its place, learning from 10,000 images, 1,000
of each class (patience=none trials=4 epochs=2 fraction=0.4 train.epochs=5): 78.0 % (77.2-78.8), n = 10,000, rate
0.0015, 6 CPU minutes, one seed.
Reported by others, who do not say at which size: 89.06 %.
"""

from configs.cifar10_mlp import config as base
from finegrain.models.config import ModelConfig
from finegrain.recipe import Recipe
from finegrain.tuning.full import Full


def config() -> Recipe:
    """Return the recipe."""
    recipe = base()
    recipe.name = "cifar10_resnet18_finetune"
    recipe.model = ModelConfig(name="torchvision/resnet18", weights="IMAGENET1K_V1", image_size=64, crop_fraction=1.0)
    recipe.tuning = Full()
    recipe.optim.lr = 3e-4
    recipe.optim.head_lr = 1e-3
    recipe.train.epochs = 10
    return recipe
