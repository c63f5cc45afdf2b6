"""A classifier entered where its frozen part ends: what is frozen runs once an image, what is trained at every step."""

import copy
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from finegrain.models.classifier import Classifier

_TOLERANCE = 1e-4
"""Largest relative difference of features between a network entered at a cut and the same one run as a whole."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cut:
    """A place where one tensor holds all that the rest of the network needs."""

    path: str
    """The module that reads it."""
    shape: tuple[int, ...]
    """Of the tensor, for one image of the network's own size."""
    before: dict[str, Tensor] = field(repr=False)
    """In the shape of what every module that is done by then gives, [1, ...]: NaN, as nothing may depend on it."""


def find_cut(classifier: Classifier) -> Cut | None:
    """The last place before the boundary where the classifier can be cut; None where there is none.

    A boundary inside a residual block cannot be cut, as the sum needs what went around it: then the block's own input
    is tried, and so on outwards. Each try is run and compared.

    Args:
        classifier: Left as it is; with a boundary (`Classifier.set_trainable`).
    """
    path = classifier.boundary
    twin = copy.deepcopy(classifier).cpu().float().eval()
    size = classifier.preprocessing.image_size
    probe = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        while path and path != "network":
            cut, activations, features = _watch(twin, path, probe)
            if cut is not None and _serves(twin, cut, activations, features):
                return cut
            path = path.rpartition(".")[0]
    return None


def enter(classifier: Classifier, cut: Cut) -> None:
    """Let `classifier` take what the cut's module reads, [B, *cut.shape], in the place of images; for good.

    The modules before the cut no longer compute, but keep their weights and their places in the state dict.
    """
    for path, blank in cut.before.items():
        classifier.get_submodule(path).forward = partial(_blank, blank)
    size = classifier.preprocessing.image_size
    entrance = _Entrance(torch.full((1,), torch.nan).expand(1, 3, size, size))
    # Hooks are bound methods of one object: those of a deep copy are bound to a copy of it.
    classifier.network.register_forward_pre_hook(entrance.take)
    classifier.get_submodule(cut.path).register_forward_pre_hook(entrance.give, prepend=True)


class _Entrance:
    """Carries the activations past the part of the network that no longer computes."""

    def __init__(self, images: Tensor) -> None:
        self._images = images
        self._activations: Tensor | None = None

    def take(self, module: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
        self._activations = inputs[0]
        return (_blank(self._images, inputs[0]),)

    def give(self, module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        activations, self._activations = self._activations, None
        return (activations, *inputs[1:])


def _blank(like: Tensor, batch: Tensor, *_: Any, **__: Any) -> Tensor:
    """`like` [1, ...] for as many images as `batch` has."""
    return like.to(batch.device).expand(len(batch), *like.shape[1:])


def _watch(classifier: Classifier, path: str, images: Tensor) -> tuple[Cut | None, Tensor, Tensor]:
    """The cut before the module at `path`, if there can be one, what it reads of `images`, and the features."""
    read: list[Tensor] = []
    done: dict[str, Tensor] = {}
    calls: Counter[str] = Counter()

    def note_read(_: nn.Module, inputs: tuple[Any, ...]) -> None:
        read.append(inputs[0])

    def note_done(name: str, _: nn.Module, inputs: Any, output: Any) -> None:
        calls[name] += 1
        if not read and isinstance(output, Tensor) and output.is_floating_point() and len(output) == len(images):
            done[name] = output.new_full((1,), torch.nan).expand(1, *output.shape[1:])

    hooks = [classifier.get_submodule(path).register_forward_pre_hook(note_read)]
    for name, module in classifier.named_modules():
        hooks.append(module.register_forward_hook(partial(note_done, name)))
    try:
        features = classifier.forward_features(images)
    finally:
        for hook in hooks:
            hook.remove()
    if len(read) != 1 or not isinstance(read[0], Tensor) or len(read[0]) != len(images):
        return None, images, features
    once = {name: output for name, output in done.items() if calls[name] == 1}
    outermost = {name: output for name, output in once.items() if not _inside(name, once)}
    return Cut(path=path, shape=tuple(read[0].shape[1:]), before=outermost), read[0], features


def _inside(name: str, others: dict[str, Tensor]) -> bool:
    """Whether the module is part of another of them."""
    return any(name != other and name.startswith(f"{other}.") for other in others)


def _serves(classifier: Classifier, cut: Cut, activations: Tensor, expected: Tensor) -> bool:
    twin = copy.deepcopy(classifier)
    enter(twin, cut)
    try:
        features = twin.forward_features(activations)
    except Exception:  # Any code may stand between the modules, and need not bear blanks.
        return False
    return features.shape == expected.shape and bool((features - expected).norm() <= _TOLERANCE * expected.norm())
