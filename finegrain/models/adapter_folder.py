"""Folders that hold what was trained of a network whose greater part stayed frozen: a few MB that go with their base.

adapter_model.safetensors   trained parameters, the head, BatchNorm's statistics; named as peft names them
adapter_config.json         what peft needs to know of the adapter; empty where it has no part in it
config.json                 as in a folder of weights, and under `base` the weights that it belongs to
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from finegrain.errors import WeightsError, fault
from finegrain.models.adapters import ADAPTER, inject
from finegrain.models.architecture import find_architecture
from finegrain.models.backbone import build_classifier, preprocessing_of
from finegrain.models.classifier import Classifier
from finegrain.models.tensors import digest, read_tensors
from finegrain.models.weights import (
    ADAPTER_TENSORS_NAME,
    Base,
    WeightsFolder,
    read_folder,
    write_config,
    write_tensors,
)
from finegrain.storage import atomic_write

ADAPTER_CONFIG_NAME = "adapter_config.json"
_PREFIX = "base_model.model."


def save_adapter(classifier: Classifier, folder: Path, *, class_names: Sequence[str], weights: str | None) -> None:
    """Write what was trained of `classifier`.

    Args:
        classifier: With an adapter, or with some of its parameters trained.
        folder: Made if need be.
        class_names: K names, in the order of the head's outputs.
        weights: What the frozen part came from, as `model.weights` names it.

    Raises:
        OutputError: The folder cannot be written.
    """
    tuned = classifier.tuned_tensors()
    file = folder / ADAPTER_TENSORS_NAME
    write_tensors({_saved_name(name): tensor for name, tensor in tuned.items()}, file)
    about = {"modules_to_save": [_in_network(classifier.head_name)], "base_model_name_or_path": weights}
    description = {**classifier.adapter, **about} if classifier.adapter else {}
    settings = folder / ADAPTER_CONFIG_NAME
    atomic_write(settings, json.dumps(description, indent=1) + "\n")
    frozen = _digest(classifier.state_dict(), without=tuned)
    base = Base(weights=weights, sha256=frozen, adapter_sha256=digest(settings))
    write_config(classifier, file, class_names=class_names, base=base)


def load_adapter(folder: Path, base: Classifier, *, trust: bool = False) -> Classifier:
    """A classifier that shares the frozen tensors of `base` and has its own of what `save_adapter` wrote.

    Args:
        folder: Of `save_adapter`.
        base: The network that the adapter was trained on; of any classes; left as it is.
        trust: Whether a torch.hub network's code may run.

    Returns:
        All of it frozen; its `merged()` is a plain network.

    Raises:
        WeightsError: The folder is damaged, holds no adapter, or belongs to another base.
    """
    content = read_folder(folder)
    if content.base is None:
        raise WeightsError(
            fault(
                f"{folder} holds no adapter", got="a whole network", expected="an adapter", remedy="load it as weights"
            )
        )
    classifier = _like(base, content, trust=trust)
    classifier.adapter = _settings(folder, sha256=content.base.adapter_sha256)
    try:
        if classifier.adapter:
            inject(classifier.network, classifier.adapter, empty=True)  # a rank may be of any size
    except Exception as error:  # peft documents no base for what it raises at settings that it cannot use
        raise _unusable(folder, (str(error) or type(error).__name__).splitlines()[0]) from error
    tuned = _tuned(content, classifier)
    try:
        # Assigned, not copied: the tensors of the base that these replace stay what they are.
        classifier.load_state_dict(tuned, strict=False, assign=True)
    except RuntimeError as error:
        raise _unusable(folder, str(error).splitlines()[-1].strip()) from error
    state = classifier.state_dict()
    if missing := [_saved_name(name) for name, tensor in state.items() if tensor.is_meta]:
        raise _unusable(folder, f"no tensor {missing[0]}")
    found = _digest(state, without=tuned)
    if found != content.base.sha256:
        raise _other_base(content, f"frozen tensors with SHA-256 {found[:12]}", f"{content.base.sha256[:12]}")
    classifier.set_trainable(())
    return classifier


class SharedBackbone:
    """One network and several adapters on it, each a classifier of its own; frozen tensors are in memory once."""

    def __init__(self, base: Classifier) -> None:
        """Share the tensors of `base`."""
        self._base = base
        self._classifiers: dict[str, Classifier] = {}

    def add(self, name: str, folder: Path) -> Classifier:
        """Load an adapter and call it `name`; see `load_adapter`.

        Raises:
            WeightsError: There is one of this name, or the folder cannot be used.
        """
        if name in self._classifiers:
            raise WeightsError(
                fault("two adapters of one name", got=name, expected="a new name", remedy="choose another name")
            )
        self._classifiers[name] = load_adapter(folder, self._base)
        return self._classifiers[name]

    def __getitem__(self, name: str) -> Classifier:
        """The classifier called `name`.

        Raises:
            WeightsError: There is none.
        """
        if name not in self._classifiers:
            known = ", ".join(self._classifiers) or "none yet"
            raise WeightsError(fault("no such adapter", got=name, expected=known, remedy="add it first"))
        return self._classifiers[name]


def _like(base: Classifier, content: WeightsFolder, *, trust: bool) -> Classifier:
    """A classifier of the adapter's classes on the tensors of `base` themselves."""
    if base.architecture != content.architecture:
        raise _other_base(content, base.architecture, content.architecture)
    classifier = build_classifier(
        find_architecture(content.architecture, trust=trust),
        num_classes=len(content.class_names),
        preprocessing=preprocessing_of(content.pretrained_cfg),
        model_args=content.model_args,
        prompts=content.prompts,
    )
    shared = {name: value for name, value in base.state_dict().items() if not name.startswith(f"{base.head_name}.")}
    try:
        classifier.load_state_dict(shared, strict=False, assign=True)
    except RuntimeError as error:
        raise _other_base(content, str(error).splitlines()[-1].strip(), "tensors of the same shapes") from error
    return classifier


def _settings(folder: Path, *, sha256: str) -> dict[str, Any] | None:
    path = folder / ADAPTER_CONFIG_NAME
    try:
        settings: dict[str, Any] = dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise _unusable(folder, f"{ADAPTER_CONFIG_NAME}: {error}") from error
    if digest(path) != sha256:
        raise _unusable(folder, f"{ADAPTER_CONFIG_NAME} is damaged or was changed")
    plain = {key: value for key, value in settings.items() if key not in ("modules_to_save", "base_model_name_or_path")}
    return plain or None


def _tuned(content: WeightsFolder, classifier: Classifier) -> dict[str, Tensor]:
    """The tensors in the folder, by their names in `classifier`."""
    names = {_saved_name(name): name for name in classifier.state_dict()}
    saved = read_tensors(content.file, sha256=content.sha256)
    if unknown := saved.keys() - names.keys():
        raise _unusable(content.file.parent, f"unknown tensor {min(unknown)}")
    # Copies: in the file they lie at any address, and operations round differently where rows are not aligned.
    return {names[name]: tensor.clone() for name, tensor in saved.items()}


def _saved_name(name: str) -> str:
    """A tensor's name in peft's files, which name no adapter, nor the only parameter of DoRA's magnitudes."""
    plain = _PREFIX + _in_network(name).replace(f".{ADAPTER}", "")
    return plain.removesuffix(".weight") if "lora_magnitude_vector" in name else plain


def _in_network(path: str) -> str:
    return path.removeprefix("network.")


def _digest(tensors: Mapping[str, Tensor], *, without: Iterable[str]) -> str:
    """SHA-256, in hexadecimal, of the names, types, shapes and bytes of all tensors but some."""
    digest = hashlib.sha256()
    for name in sorted(tensors.keys() - set(without)):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _other_base(content: WeightsFolder, got: str, expected: str) -> WeightsError:
    assert content.base is not None
    what, remedy = f"{content.file.parent} is an adapter for other weights", f"give it those of {content.base.weights}"
    if content.base.weights is None:
        remedy = "they were random: use the whole network that its run kept beside it"
    return WeightsError(fault(what, got=got, expected=expected, remedy=remedy))


def _unusable(folder: Path, reason: str) -> WeightsError:
    remedy = "use a folder that this project wrote"
    return WeightsError(fault(f"{folder} cannot be used", got=reason, expected="an adapter", remedy=remedy))
