"""What a vision transformer's self-attention looks at: every layer and head, and all layers together."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from finegrain.errors import ConfigError, fault


@contextmanager
def recorded_attention(modules: Sequence[nn.Module]) -> Iterator[list[Tensor]]:
    """Meanwhile, every forward pass adds the weights [B, heads, N, N] of each of `modules` to the list given.

    Fused kernels never form them: timm's attention is asked for its plain path, torch's for its weights. The logits
    are the same to rounding.

    Raises:
        ConfigError: A module is of neither kind.
    """
    weights: list[Tensor] = []
    with ExitStack() as stack:
        for module in modules:
            stack.enter_context(_recorded(module, weights))
        yield weights


@contextmanager
def _recorded(module: Any, weights: list[Tensor]) -> Iterator[None]:
    if isinstance(module, nn.MultiheadAttention):
        asked = module.register_forward_pre_hook(_ask_for_weights, with_kwargs=True)
        given = module.register_forward_hook(lambda _, __, output: weights.append(output[1].detach()))
        with asked, given:
            yield
        return
    dropout = getattr(module, "attn_drop", None)
    if not isinstance(dropout, nn.Module):
        raise ConfigError(
            fault(
                "this attention does not show its weights",
                got=type(module).__name__,
                expected="timm's or torch's self-attention",
                remedy="choose another method, e.g. method=gradcam",
            )
        )
    fused = getattr(module, "fused_attn", False)
    module.fused_attn = False
    try:
        with dropout.register_forward_hook(lambda _, __, output: weights.append(output.detach())):
            yield
    finally:
        module.fused_attn = fused


def _ask_for_weights(_: nn.Module, inputs: tuple[Any, ...], options: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    return inputs, options | {"need_weights": True, "average_attn_weights": False}


def class_attention(weights: Sequence[Tensor], *, prefix: int) -> Tensor:
    """What the class token looks at, by layer and head; where there is none, the mean of all tokens.

    Args:
        weights: Of each layer, [B, heads, N, N]; rows sum to 1.
        prefix: Tokens before the grid's, the class token first.

    Returns:
        [B, layers, heads, N − prefix].
    """
    maps = torch.stack(tuple(weights), dim=1)
    rows = maps[..., 0, :] if prefix else maps.mean(dim=-2)
    return rows[..., prefix:]


def rollout(weights: Sequence[Tensor], *, prefix: int) -> Tensor:
    """Attention rollout: R = Â_L ⋯ Â_1 with Â = (mean over heads + I) / 2, the class token's row of it.

    Abnar & Zuidema, "Quantifying Attention Flow in Transformers", ACL 2020.

    Args:
        weights: Of each layer, [B, heads, N, N]; rows sum to 1.
        prefix: Tokens before the grid's, the class token first; where there is none, the mean of all rows.

    Returns:
        [B, N − prefix].
    """
    identity = torch.eye(weights[0].shape[-1], device=weights[0].device)
    flow = identity
    for layer in weights:
        flow = (layer.float().mean(dim=1) + identity) / 2 @ flow
    rows = flow[:, 0] if prefix else flow.mean(dim=1)
    return rows[:, prefix:]
