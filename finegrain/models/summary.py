"""A table of a classifier's layers by torch-summary, its parameters, and the memory that training it takes."""

from bisect import bisect_right
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
import torchsummary
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from finegrain.models.classifier import Classifier

MOST_LAYERS = 64
"""The table shows the deepest levels of modules that take no more rows."""
_LEVELS = 4
_COLUMNS = ("layer", "kind", "output", "parameters", "state")
_MB = 2**20
_MOMENTS = 2


def structure(classifier: Classifier) -> str:
    """Its layers in the order in which they run, as a table in text: a line of headings, then one of each layer.

    A layer is told by its path, its kind, the shape of its output for an image, the parameters within it and whether
    they are trained. Parameters that sit in no layer, such as a class token, are in none of the rows.

    Args:
        classifier: Left as it was found.

    Returns:
        The table; without shapes, and in the order of definition, where torch-summary cannot follow the network.
    """
    image, training = _image(classifier), classifier.training
    classifier.eval()
    summarise = partial(torchsummary.summary, classifier.network, depth=_LEVELS - 1, verbose=0)
    try:
        found = summarise(image, device=image.device)  # it moves a model to the GPU unless told where it is
    except RuntimeError:  # a layer is given numbers beside tensors, as XCiT's are
        found = summarise()
    finally:
        classifier.train(training)
    layers: dict[nn.Module, Any] = {}
    for layer in found.summary_list:
        layers.setdefault(layer.module, layer)  # one that runs twice is shown once
    depths = sorted(layer.depth for layer in layers.values())
    deepest = max((depth for depth in range(1, _LEVELS + 1) if bisect_right(depths, depth) <= MOST_LAYERS), default=1)
    paths = {module: path for path, module in classifier.network.named_modules()}
    shown = {module: layer.output_size for module, layer in layers.items() if layer.depth <= deepest}
    rows = [_COLUMNS, *(_row(paths[module], module, gives) for module, gives in shown.items())]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(f"{word:{side}{width}}" for word, side, width in zip(row, "<<<><", widths, strict=True)).rstrip()
        for row in rows
    )


def summary(classifier: Classifier, batch_size: int) -> str:
    """Layers, parameters and estimated memory, as lines to print.

    Args:
        classifier: Left as it was found.
        batch_size: Images a step.
    """
    table = structure(classifier)
    image, training = _image(classifier), classifier.training
    classifier.eval()
    weights = sum(tensor.nbytes for tensor in [*classifier.parameters(), *classifier.buffers()])
    gradients = sum(parameter.nbytes for parameter in classifier.trainable_parameters())
    parts = {
        "weights": weights,
        "gradients": gradients,
        "two moments": _MOMENTS * gradients,
        "activations": batch_size * recorded_bytes(classifier, image),
    }
    classifier.train(training)
    memory = ", ".join(f"{name} {size / _MB:,.0f}" for name, size in parts.items())
    return (
        f"{table}\nParameters: {classifier.census()}\n"
        f"Estimated memory of training at batch size {batch_size}: {sum(parts.values()) / _MB:,.0f} MB ({memory})"
    )


def _image(classifier: Classifier) -> Tensor:
    size, parameter = classifier.preprocessing.image_size, next(classifier.parameters())
    return torch.zeros(1, 3, size, size, device=parameter.device, dtype=parameter.dtype)


def _row(path: str, module: nn.Module, gives: Sequence[int]) -> tuple[str, ...]:
    """What the table says of a layer whose output has the shape `gives`, the batch first."""
    trained = [parameter.requires_grad for parameter in module.parameters()]
    state = "trained" if all(trained) else "partly trained" if any(trained) else "frozen"
    count = sum(parameter.numel() for parameter in module.parameters())
    shape = " × ".join(map(str, gives[1:]))
    return path, type(module).__name__, shape, *((f"{count:,}", state) if trained else ("", ""))


def recorded_bytes(classifier: Classifier, images: Tensor) -> int:
    """Bytes that a forward pass keeps for the backward pass, weights not counted: what freezing saves."""
    weights = {tensor.untyped_storage().data_ptr() for tensor in [*classifier.parameters(), *classifier.buffers()]}
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.enable_grad(), saved_tensors_hooks(note, lambda tensor: tensor):
        logits = classifier(images)  # held, so that no address is used twice
    del logits
    return sum(size for address, size in kept.items() if address not in weights)
