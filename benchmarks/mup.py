"""µP for Adam by hand (Yang, Hu et al., Tensor Programs V, arXiv 2203.03466, 2022), and the check of coordinates."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


def mup_groups(network: nn.Module, narrow: nn.Module, *, lr: float) -> list[dict[str, Any]]:
    """Scale first weights in place and give Adam's parameter groups, so that the rate of a narrower network fits.

    The paper's table 3, in units of `narrow`. Where a layer's inputs are r times as many as in `narrow`:

    - its weights have the rate lr / r, all else lr: input weights, biases, norms;
    - the readout's first weights are divided by √r: their variance is as 1/fan_in², where torch's is as 1/fan_in;
    - torch's first biases, which shrink as 1/√fan_in, are multiplied by √r.

    Where no layer has more inputs nothing changes. microsoft/mup writes the same as its table 8: a readout that is
    divided by r and keeps its rate, which under Adam is the same function at every step.

    Args:
        network: As torch has drawn it.
        narrow: The same architecture with fewer features; its weights do not matter.
        lr: The rate of `narrow`.
    """
    rates: dict[nn.Parameter, float] = {}
    for module, base in zip(network.modules(), narrow.modules(), strict=True):
        if not isinstance(module, (nn.Linear, nn.Conv2d)):
            continue
        wider = module.weight[0].numel() / base.weight[0].numel()
        rates[module.weight] = lr / wider
        with torch.no_grad():
            if len(module.weight) == len(base.weight):  # as many outputs: where it has more inputs, it is the readout
                module.weight /= wider**0.5
            if module.bias is not None:
                module.bias *= wider**0.5
    return [{"params": [parameter], "lr": rates.get(parameter, lr)} for parameter in network.parameters()]


def coordinate_changes(
    network: nn.Module, optimizer: torch.optim.Optimizer, batches: Sequence[tuple[Tensor, Tensor]]
) -> dict[str, float]:
    """How far a step on each of `batches` moves the outputs of every linear layer and convolution.

    Returns:
        By the layer's name the mean |change| of a number of its output for the first batch.
    """
    images, _ = batches[0]
    before = _outputs(network, images)
    for batch, labels in batches:
        optimizer.zero_grad()
        functional.cross_entropy(network(batch), labels).backward()
        optimizer.step()
    after = _outputs(network, images)
    return {name: (after[name] - output).abs().mean().item() for name, output in before.items()}


@torch.no_grad()
def _outputs(network: nn.Module, images: Tensor) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    layers = {name: layer for name, layer in network.named_modules() if isinstance(layer, (nn.Linear, nn.Conv2d))}

    def keep(name: str) -> Any:
        return lambda _module, _inputs, output: found.__setitem__(name, output)

    hooks = [layer.register_forward_hook(keep(name)) for name, layer in layers.items()]
    network(images)
    for hook in hooks:
        hook.remove()
    return found
