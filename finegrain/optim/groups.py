"""Parameter groups: who is decayed, and at which rate each layer learns."""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from torch import nn

from finegrain.errors import ConfigError, fault


class LayerGroup(Protocol):
    """Neighbouring layers that learn at one rate."""

    @property
    def name(self) -> str:
        """For people, e.g. `block3`."""
        ...

    @property
    def module_paths(self) -> Sequence[str]:
        """Paths of its modules, as in `named_modules()`."""
        ...


class LayeredModel(Protocol):
    """A classifier that knows the order of its layers."""

    @property
    def head_name(self) -> str:
        """Path of the classification layer."""
        ...

    def layer_groups(self) -> Sequence[LayerGroup]:
        """From the stem to the head; no module is in two."""
        ...

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Every parameter once."""
        ...


def is_weight(name: str, parameter: nn.Parameter) -> bool:
    """Whether this is a weight matrix or kernel, which decay and penalties act on.

    Norms and biases have one dimension; position embeddings, class tokens and relative-position tables have more,
    but no network calls them `weight`. Of adapters the factors of products are weights; DoRA's magnitudes are lengths
    and IA3's factors are near one, both of any dimensions.
    """
    named = "weight" in name.rpartition(".")[2] and "magnitude" not in name
    return parameter.ndim > 1 and (named or ".hada_" in name or ".lokr_" in name)


def in_module(name: str, path: str) -> bool:
    """Whether the parameter `name` is at or below the module `path`."""
    return name == path or name.startswith(path + ".")


def parameter_groups(
    model: LayeredModel,
    *,
    lr: float,
    head_lr: float | None = None,
    weight_decay: float = 0.0,
    layer_decay: float | None = None,
) -> list[dict[str, Any]]:
    """Sort the trainable parameters into groups for an optimiser, each parameter into exactly one.

    The rate of a layer that is i layers below the top one is `lr * layer_decay ** i` (Clark et al., ICLR 2020,
    arXiv:2003.10555, as in BEiT and timm).

    Args:
        model: The classifier; frozen parameters are left out.
        lr: Learning rate.
        head_lr: Learning rate of the classification layer; None: `lr`.
        weight_decay: Decay of the weights; not of norms, biases, position embeddings and tokens.
        layer_decay: Ratio of the rates of neighbouring layers, in (0, 1]; None: one rate for the whole backbone.

    Returns:
        Groups in the order of the layers, each with `name`, `params`, `lr` and `weight_decay`.

    Raises:
        ConfigError: Nothing is trainable.
    """
    rates = _layer_rates(model, lr=lr, head_lr=lr if head_lr is None else head_lr, layer_decay=layer_decay)
    groups: dict[tuple[str, float, bool], dict[str, Any]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        layer, rate = rates[name]
        decayed = is_weight(name, parameter)
        title = layer if decayed else f"{layer}, not decayed"
        new = {"name": title, "params": [], "lr": rate, "weight_decay": weight_decay if decayed else 0.0}
        groups.setdefault((layer, rate, decayed), new)["params"].append(parameter)
    if not groups:
        remedy = "choose a tuning that trains the head"
        raise ConfigError(
            fault("nothing to train", got="no trainable parameter", expected="at least the head's", remedy=remedy)
        )
    return list(groups.values())


def _layer_rates(
    model: LayeredModel, *, lr: float, head_lr: float, layer_decay: float | None
) -> dict[str, tuple[str, float]]:
    """Layer and learning rate of each parameter, by its name."""
    names = [name for name, _ in model.named_parameters()]
    if layer_decay is None:
        found = dict.fromkeys(names, ("backbone", lr))
    else:
        layers = model.layer_groups()
        places = [(layer.name, lr * layer_decay ** (len(layers) - 1 - i)) for i, layer in enumerate(layers)]
        found = dict.fromkeys(names, places[0])  # Tokens and position embeddings, in no module, are of the stem.
        for layer, place in zip(layers, places, strict=True):
            found |= {name: place for name in names for path in layer.module_paths if in_module(name, path)}
    return found | {name: ("head", head_lr) for name in names if in_module(name, model.head_name)}
