"""BatchNorm folded into the convolution before it; the pairs are found by watching one forward pass."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import torch
from timm.layers import BatchNormAct2d
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


@torch.no_grad()
def fold_batch_norm(network: nn.Module, images: Tensor) -> int:
    """Fold, in place, every BatchNorm2d that alone reads what one convolution computes.

    A convolution's weight w and bias b become w·γ/σ and (b − μ)·γ/σ + β, in float64; the norm becomes an identity, or
    what remains of timm's norm-with-activation. The network computes the same up to rounding.

    Args:
        network: In eval mode, float32, on the device of `images`.
        images: float32 [B, 3, S, S], run through it once to see what reads what.

    Returns:
        How many norms were folded.
    """
    pairs = _pairs(network, images)
    for convolution, path in pairs:
        norm = network.get_submodule(path)
        _fold(convolution, norm)
        rest = nn.Sequential(norm.drop, norm.act) if isinstance(norm, BatchNormAct2d) else nn.Identity()
        network.set_submodule(path, rest)
    return len(pairs)


class _Reads(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the operations that read each tensor, by its id."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count: Counter[int] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None) -> Any:
        """Count the tensors among the arguments, and go on."""
        self.count.update(id(value) for value in tree_leaves((args, kwargs)) if isinstance(value, Tensor))
        return func(*args, **(kwargs or {}))


def _pairs(network: nn.Module, images: Tensor) -> list[tuple[nn.Conv2d, str]]:
    """Each convolution that can take up a norm, with the norm's path."""
    reads = _Reads()
    made: defaultdict[nn.Conv2d, list[Tensor]] = defaultdict(list)
    read: defaultdict[str, list[Tensor]] = defaultdict(list)

    def note_output(module: Any, _: Any, output: Tensor) -> None:
        made[module].append(output)  # Held, so that its id is not given to another tensor.
        reads.count[id(output)] = 0

    with ExitStack() as hooks:
        for path, module in network.named_modules():
            if isinstance(module, nn.Conv2d):
                hooks.callback(module.register_forward_hook(note_output).remove)
            elif _is_foldable(module):
                note = read[path]
                hook = module.register_forward_pre_hook(lambda _, inputs, note=note: note.append(inputs[0]))
                hooks.callback(hook.remove)
        with reads:
            network(images)
    uses = Counter(id(parameter) for _, parameter in network.named_parameters(remove_duplicate=False))
    makers = {
        id(outputs[0]): convolution
        for convolution, outputs in made.items()
        if len(outputs) == 1 and all(uses[id(parameter)] == 1 for parameter in convolution.parameters())
    }
    lone = {path: id(inputs[0]) for path, inputs in read.items() if len(inputs) == 1}
    return [(makers[key], path) for path, key in lone.items() if key in makers and reads.count[key] == 1]


def _is_foldable(module: nn.Module) -> bool:
    """Whether it is a norm of known arithmetic with statistics of its own."""
    known = type(module) is nn.BatchNorm2d or type(module) is BatchNormAct2d
    return known and not module.training and module.running_var is not None


def _fold(convolution: nn.Conv2d, norm: Any) -> None:
    dtype = convolution.weight.dtype
    scale = (norm.running_var.double() + norm.eps).rsqrt()
    shift = -norm.running_mean.double() * scale
    if convolution.bias is not None:
        shift = shift + convolution.bias.double() * scale
    if norm.affine:
        scale, shift = scale * norm.weight.double(), shift * norm.weight.double() + norm.bias.double()
    weight = convolution.weight.double() * scale.view(-1, 1, 1, 1)
    convolution.weight = nn.Parameter(weight.to(dtype), requires_grad=False)
    convolution.bias = nn.Parameter(shift.to(dtype), requires_grad=False)
