"""MNIST, LeNet on the project's NumPy engine: it computes forward and backward; loss and optimiser are torch's.

    python main.py --config configs/mnist_mytorch_lenet.py
    python main.py tune --config configs/mnist_mytorch_lenet.py trials=6

Measured on one shared CPU core, one seed, n = 10,000: test top-1 99.3 % (99.1-99.5) by the tuned run, rate 0.0148, 10
epochs, 6 CPU minutes in all, and as it is, 3 CPU minutes. The engine alone, loss and optimiser too, has 99.25 % after
10 epochs, one run: `benchmarks/mytorch_mnist.py`.
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
