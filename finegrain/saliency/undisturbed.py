"""Ask a network something and leave it as it was."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def undisturbed(network: nn.Module) -> Iterator[None]:
    """Evaluate with gradients but of no weight, and leave modes and flags as they were."""
    modes = [(module, module.training) for module in network.modules()]
    recorded = [parameter for parameter in network.parameters() if parameter.requires_grad]
    network.eval()
    for parameter in recorded:
        parameter.requires_grad_(False)
    try:
        with torch.enable_grad():
            yield
    finally:
        for parameter in recorded:
            parameter.requires_grad_(True)
        for module, mode in modes:
            module.training = mode
