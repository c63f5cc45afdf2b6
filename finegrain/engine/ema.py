"""Exponential moving average of a model's weights."""

from collections.abc import Mapping
from copy import deepcopy

import torch
from torch import Tensor, nn


class WeightEMA:
    """Keeps a copy of a model whose weights follow the trained ones slowly (Polyak & Juditsky, 1992).

    After update t = 0, 1, ... the average is `d w_ema + (1 - d) w` with `d = min(decay, (1 + t) / (10 + t))`: the
    decay warms up, since with a fixed one a short run's average would still be mostly the starting point.

    Floating buffers (BatchNorm's statistics) are averaged like the weights: the averaged weights see the
    activations of some steps ago, and so must their statistics. Integer buffers are copied. Frozen weights are left
    alone and stay equal to the bit.
    """

    def __init__(self, model: nn.Module, *, decay: float) -> None:
        """Start from a copy of `model`.

        Args:
            model: The model that is trained.
            decay: Largest share of the old average that an update keeps, in [0, 1).
        """
        self.module = deepcopy(model).eval().requires_grad_(False)
        """The averaged model, in eval mode."""
        self._decay = decay
        self._updates = 0

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Move the average towards `model`, after one of its optimiser steps."""
        decay = min(self._decay, (1 + self._updates) / (10 + self._updates))
        self._updates += 1
        pairs: list[tuple[Tensor, Tensor]] = [
            (average, weight)
            for average, weight in zip(self.module.parameters(), model.parameters(), strict=True)
            if weight.requires_grad
        ]
        for average, buffer in zip(self.module.buffers(), model.buffers(), strict=True):
            if buffer.is_floating_point():
                pairs.append((average, buffer))
            else:
                average.copy_(buffer)
        torch._foreach_lerp_([average for average, _ in pairs], [value for _, value in pairs], 1 - decay)

    def state_dict(self) -> dict[str, Tensor]:
        """The averaged model's tensors and the number of updates."""
        return {**self.module.state_dict(), "updates": torch.tensor(self._updates)}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Continue where `state` was taken."""
        self._updates = int(state["updates"])
        self.module.load_state_dict({name: tensor for name, tensor in state.items() if name != "updates"})
