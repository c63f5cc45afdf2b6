"""MNIST, LeNet on the project's NumPy engine: it computes forward and backward; loss and optimiser are torch's.

    python main.py --config configs/mnist_mytorch_lenet.py

Measured on one shared CPU core, 3 CPU minutes, one seed: test top-1 99.3 % (99.1-99.5, n = 10,000). The engine alone,
loss and optimiser too, has 99.25 % after 10 epochs, one run: `benchmarks/mytorch_mnist.py`.
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
