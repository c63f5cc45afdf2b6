"""Networks with random weights that compute as trained ones do: their activations neither vanish nor explode."""

import timm
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from finegrain.models.classifier import Classifier
from finegrain.models.config import ModelConfig

CLASSES = 200
"""CUB's number."""


def network(name: str, *, image_size: int = 224) -> nn.Module:
    """timm's network of this name, in eval mode: the same weights and statistics in every process."""
    torch.manual_seed(0)
    model: nn.Module = timm.create_model(name, num_classes=CLASSES)
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    for norm in norms:
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.normal_(norm.bias, std=0.1)
        norm.momentum = None  # the average of all batches: here, of one
    if norms:
        with torch.no_grad():
            model.train()(images(8, image_size=image_size, seed=1))
    return model.eval()


def classifier(name: str, *, image_size: int = 224) -> Classifier:
    """The same network as the project builds it."""
    built = ModelConfig(name=f"timm/{name}", image_size=image_size).build(num_classes=CLASSES)
    built.network.load_state_dict(network(name, image_size=image_size).state_dict())
    return built.eval()


def images(count: int, *, image_size: int = 224, seed: int = 0) -> torch.Tensor:
    """Normalised images, float32 [count, 3, S, S]: smooth, as photographs are, with some noise."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(count, 3, 7, 7, generator=generator)
    smooth = nn.functional.interpolate(coarse, size=(image_size, image_size), mode="bicubic")
    return smooth + 0.1 * torch.randn(smooth.shape, generator=generator)
