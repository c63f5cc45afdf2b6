"""MNIST, LeNet on the project's NumPy engine: it computes forward and backward; loss and optimiser are torch's.

    python main.py --config configs/mnist_mytorch_lenet.py

Hardware, minutes and result: not measured. The engine alone, loss and optimiser too, has 99.25 % after 10
epochs, one run: `benchmarks/mytorch_mnist.py`.
Reported by others for LeNet in NumPy: 98.61 %, and 99.26 % with batch norm and augmentation.
"""

from configs.mnist_conv1 import config as base
from finegrain.models.config import ModelConfig
from finegrain.recipe import Recipe


def config() -> Recipe:
    """Return the recipe."""
    recipe = base()
    recipe.name = "mnist_mytorch_lenet"
    recipe.model = ModelConfig(name="scratch/mytorch_lenet")
    return recipe
