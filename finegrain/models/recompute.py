"""Less memory for more time: keep what enters each block, and compute the rest again in the backward pass."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from finegrain.models.classifier import Classifier


def recompute_blocks(classifier: Classifier) -> None:
    """Let every block of `classifier` forget, until its backward pass, what it computed; gradients stay the same.

    Chen et al., "Training Deep Nets with Sublinear Memory Cost", arXiv:1604.06174. Weights and their names stay.
    """
    for group in classifier.layer_groups()[1:-1]:
        for path in group.module_paths:
            block = classifier.get_submodule(path)
            block.forward = partial(_forward, block, block.forward)


def _forward(block: nn.Module, forward: Callable[..., Any], *inputs: Any, **options: Any) -> Any:
    if not torch.is_grad_enabled():
        return forward(*inputs, **options)
    again = partial(_as_before, block, _attention_kernels())
    return checkpoint(forward, *inputs, use_reentrant=False, context_fn=lambda: (nullcontext(), again()), **options)


def _attention_kernels() -> list[SDPBackend]:
    """Those that attention may be computed by."""
    names = {
        SDPBackend.MATH: "math",
        SDPBackend.FLASH_ATTENTION: "flash",
        SDPBackend.EFFICIENT_ATTENTION: "mem_efficient",
        SDPBackend.CUDNN_ATTENTION: "cudnn",
    }
    return [kernel for kernel, name in names.items() if getattr(torch.backends.cuda, f"{name}_sdp_enabled")()]


@contextmanager
def _as_before(block: nn.Module, kernels: list[SDPBackend]) -> Iterator[None]:
    """By the same kernels; and batch norms do not count the batch into their running statistics a second time."""
    norms = [module for module in block.modules() if isinstance(module, _BatchNorm) and module.training]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        with sdpa_kernel(kernels):
            yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
            if norm.num_batches_tracked is not None:
                norm.num_batches_tracked -= 1
