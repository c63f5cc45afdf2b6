"""A table of a classifier's layers by torch-summary, its parameters, and the memory that training it takes."""

from functools import partial

import torch
import torchsummary
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from finegrain.models.classifier import Classifier

_MB = 2**20
_MOMENTS = 2


def summary(classifier: Classifier, batch_size: int, *, depth: int = 2) -> str:
    """Layers, parameters and estimated memory, as lines to print.

    Args:
        classifier: Left as it was found.
        batch_size: Images a step.
        depth: Levels of modules shown.
    """
    size = classifier.preprocessing.image_size
    parameter = next(classifier.parameters())
    image = torch.zeros(1, 3, size, size, device=parameter.device, dtype=parameter.dtype)
    training = classifier.training
    classifier.eval()
    # torch-summary moves a model to the GPU unless told where it is. Its totals are left out: they miss parameters
    # that sit in no layer (class tokens, position embeddings) and take a half-frozen module for frozen.
    summarise = partial(torchsummary.summary, classifier.network, depth=depth, verbose=0)
    try:
        table = summarise(image, device=parameter.device)
    except RuntimeError:  # a layer is given numbers beside tensors, as XCiT's are: the table goes without shapes
        table = summarise()
    rows = str(table).partition("\nTotal params")[0]
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
        f"{rows}\nParameters: {classifier.census()}\n"
        f"Estimated memory of training at batch size {batch_size}: {sum(parts.values()) / _MB:,.0f} MB ({memory})"
    )


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
