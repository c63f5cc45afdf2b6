"""Adapters in a network: few parameters beside frozen layers, by the library peft, which only this file imports."""

import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from finegrain.errors import ConfigError, fault
from finegrain.models.layout import attention_modules
from finegrain.models.unpacked import UnpackedAttention, packed_attention

ADAPTER = "default"
"""peft's name for the one adapter of a network."""
FIELDS = {
    "LORA": ("r", "lora_alpha", "lora_dropout", "use_rslora", "use_dora"),
    "IA3": ("feedforward_modules",),
    "LOHA": ("r", "alpha"),
    "LOKR": ("r", "alpha", "decompose_factor"),
}
"""The adapters that can be put on a network, and what can be set of each."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AdaptableLayer:
    """A linear layer or an ungrouped convolution."""

    path: str
    """From the classifier, e.g. `network.blocks.0.attn.qkv`."""
    in_features: int
    out_features: int
    in_attention: bool
    """Whether it is of a self-attention module."""


@torch.no_grad()
def adaptable_layers(network: nn.Module, image: Tensor, *, head: str) -> tuple[AdaptableLayer, ...]:
    """The layers that an adapter can be put on, in order; depthwise convolutions have no rank to speak of.

    A layer that is never called, since its weights are read by other code (as in torchvision's Swin), would leave its
    adapter without effect: it is left out. So is what computes position biases in self-attention (as in Swin V2): it
    reads or gives no more channels than there are heads, and no tokens.

    Args:
        network: A classifier's, in eval mode.
        image: [1, 3, S, S], run through it to see which layers are called.
        head: Path of the classifier layer, which is left out.
    """
    called: set[nn.Module] = set()
    with ExitStack() as hooks:
        for module in network.modules():
            hooks.callback(module.register_forward_pre_hook(lambda module, _: called.add(module)).remove)
        network(image)
    heads = {f"{path}.": _heads(network.get_submodule(path[1:])) for path in attention_modules(network, "")}
    found = []
    for path, sizes in _layers(network, called):
        around = next((attention for attention in heads if f".{path}.".startswith(attention)), None)
        if path != head and (around is None or min(sizes) > heads[around]):
            found.append(
                AdaptableLayer(
                    path=f"network.{path}",
                    in_features=sizes[0],
                    out_features=sizes[1],
                    in_attention=around is not None,
                )
            )
    return tuple(found)


def _heads(attention: Any) -> int:
    return int(getattr(attention, "num_heads", None) or attention.n_heads)


def _layers(network: nn.Module, called: set[nn.Module]) -> Iterator[tuple[str, tuple[int, int]]]:
    packed = packed_attention(network)
    for path, module in network.named_modules():
        if path in packed:
            size = module.embed_dim
            yield from ((f"{path}.in_proj", (size, 3 * size)), (f"{path}.out_proj", (size, size)))
        elif module not in called:
            continue
        elif isinstance(module, nn.Linear):
            yield path, (module.in_features, module.out_features)
        elif isinstance(module, nn.Conv2d) and module.groups == 1:
            yield path, (module.in_channels, module.out_channels)


def inject(network: nn.Module, settings: Mapping[str, Any], *, empty: bool = False) -> None:
    """Put an adapter on layers of `network`, which computes the same as before until the adapter is trained.

    Args:
        network: Changed in place; torchvision's attention is unpacked where a projection of it is meant.
        settings: Fields of one of peft's configurations: `peft_type`, `target_modules` (paths of layers), and others.
        empty: Give the adapter's tensors shapes but neither values nor memory (device meta), to be replaced.

    Raises:
        ConfigError: DoRA on a layer that has a row of zeros, which has no direction.
        ValueError: A field that is not among `FIELDS`, or a layer that cannot take the adapter.
    """
    from peft import get_peft_config, inject_adapter_in_model  # deferred: takes seconds, and few runs need it

    # Other fields of peft's can make it read files; regular expressions from a file can run for years.
    if not settings.keys() <= {"peft_type", "target_modules", *FIELDS.get(settings["peft_type"], ())}:
        raise ValueError(f"{settings['peft_type']} with {', '.join(settings)}")
    targets = list(settings["target_modules"])
    for path, attention in packed_attention(network).items():
        if f"{path}.in_proj" in targets or f"{path}.out_proj" in targets:
            network.set_submodule(path, UnpackedAttention(attention))
    lists = [key for key in ("target_modules", "feedforward_modules") if key in settings]
    exact = {key: "|".join(map(re.escape, settings[key])) for key in lists}
    config = get_peft_config({**settings, **exact})
    with torch.device("meta") if empty else nullcontext():
        inject_adapter_in_model(config, network, adapter_name=ADAPTER, low_cpu_mem_usage=empty)
    lengths = [(path, lengths.weight) for path, layer in _adapted(network) for lengths in _magnitudes(layer)]
    if dead := [path for path, values in lengths if not (values.is_meta or values.all())]:
        expected, remedy = "rows that are not all zeros", "set tuning.dora=false, or tuning.target to other layers"
        raise ConfigError(
            fault("DoRA cannot scale these layers", got=", ".join(dead), expected=expected, remedy=remedy)
        )


def tuned_modules(root: nn.Module) -> tuple[str, ...]:
    """Paths of the modules that make up the adapters under `root`, without the layers they were put on."""
    return tuple(
        f"{path}.{name}" for path, layer in _adapted(root) for name, _ in layer.named_children() if name != "base_layer"
    )


def merge(network: nn.Module) -> None:
    """Let each adapter in `network` become part of its layer's weights, for good; no tensor is changed in place."""
    for path, layer in _adapted(network):
        layer.merge(safe_merge=True)
        network.set_submodule(path, layer.get_base_layer())
    if hasattr(network, "peft_config"):
        del network.peft_config  # peft's note that there is one
    for path, module in list(network.named_modules()):
        if isinstance(module, UnpackedAttention):
            network.set_submodule(path, module.packed())


def _magnitudes(layer: Any) -> list[Any]:
    """What DoRA trains of a layer: the lengths of its weight's rows."""
    return list(layer.lora_magnitude_vector.values()) if hasattr(layer, "lora_magnitude_vector") else []


def _adapted(root: nn.Module) -> list[tuple[str, Any]]:
    return [(path, module) for path, module in root.named_modules() if hasattr(module, "get_base_layer")]
