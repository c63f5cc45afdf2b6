"""How an optimiser's tensors lie in memory, which a checkpoint does not say."""

import torch
from torch import Tensor


def restore_layout(optimizer: torch.optim.Optimizer) -> None:
    """Lay the optimiser's tensors out in memory as their parameters: other kernels round differently."""
    for parameter, entries in optimizer.state.items():
        for name, value in entries.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                entries[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
