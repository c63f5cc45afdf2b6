"""The parts of a network that tuning names: its layer groups from stem to head, and its self-attention modules."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from timm.models import group_parameters
from torch import nn
from torchvision.ops import Conv2dNormActivation

from finegrain.models.library import Matcher


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerGroup:
    """Consecutive layers that are trained, or slowed down, together."""

    name: str
    """`stem`, `block1`, `block2`, ..., `head`."""
    module_paths: tuple[str, ...]
    """Outermost modules that lie wholly in the group, the first to run first."""


def layer_groups(root: nn.Module, prefix: str, matcher: Matcher) -> tuple[LayerGroup, ...]:
    """Group the layers of the submodule at `prefix` of `root`; no parameter is in two groups.

    Parameters outside any listed module (class tokens, position embeddings) belong to the stem.

    Args:
        root: The module that paths start from.
        prefix: Path of the network within it.
        matcher: How parameter names within the network map to groups; the last group is the head.
    """
    network = root.get_submodule(prefix)
    numbers: dict[str, int] = group_parameters(network, matcher, reverse=True)
    last = max(numbers.values())
    groups = []
    for number in range(last + 1):
        names = frozenset(f"{prefix}.{name}" for name, its_number in numbers.items() if its_number == number)
        title = {0: "stem", last: "head"}.get(number, f"block{number}")
        groups.append(LayerGroup(name=title, module_paths=tuple(_cover(network, prefix, names))))
    return tuple(groups)


def attention_modules(root: nn.Module, prefix: str) -> tuple[str, ...]:
    """Paths of the self-attention modules under `prefix`, in order; channel attention and pooling are none.

    A self-attention module is recognised by its number of heads and its class name: libraries share no base class.
    """
    found: list[str] = []
    for name, module in root.get_submodule(prefix).named_modules():
        path = f"{prefix}.{name}"
        if _is_self_attention(module) and not any(path.startswith(outer + ".") for outer in found):
            found.append(path)
    return tuple(found)


def by_unit(network: nn.Module, head: str) -> Callable[[str], tuple[float]]:
    """A matcher for networks whose library has none: the units of the largest container are the blocks.

    What comes before the container is the stem and what comes after it goes with the head. A bare norm, or a
    convolution with its norm, is no block: it goes with the unit before.
    """
    children = dict(network.named_children())
    containers = [name for name, child in children.items() if isinstance(child, (nn.Sequential, nn.ModuleList))]
    trunks = [name for name in containers if not head.startswith(name + ".")] or list(children)
    trunk = max(trunks, key=lambda name: sum(parameter.numel() for parameter in children[name].parameters()))
    ordinals: dict[str, float] = {}
    for name in children:
        if name == trunk:
            break
        ordinals[name] = 0.0
    number = 0.0 if not ordinals else 1.0
    for name, unit in children[trunk].named_children():
        joins = isinstance(unit, (nn.LayerNorm, nn.BatchNorm2d, Conv2dNormActivation))
        number += 0.0 if joins or not ordinals else 1.0
        ordinals[f"{trunk}.{name}"] = number

    def ordinal(parameter: str) -> tuple[float]:
        inside = [place for path, place in ordinals.items() if parameter.startswith(path + ".")]
        return (inside[0] if inside else float("inf") if "." in parameter else 0.0,)

    return ordinal


def _is_self_attention(module: nn.Module) -> bool:
    kind = type(module).__name__.lower()
    has_heads = any(isinstance(getattr(module, name, None), int) for name in ("num_heads", "n_heads"))
    return has_heads and ("attention" in kind or "attn" in kind or kind == "xca") and "pool" not in kind


def _cover(module: nn.Module, path: str, names: frozenset[str]) -> Iterator[str]:
    """The outermost modules all of whose parameters are among `names`."""
    inside = [f"{path}.{name}" for name, _ in module.named_parameters()]
    if inside and names.issuperset(inside):
        yield path
        return
    for child_name, child in module.named_children():
        yield from _cover(child, f"{path}.{child_name}", names)
