"""The `model` section: which network, with which pretrained weights, for images of which size."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import torch
from torch import nn

from finegrain.config import Count, Probability, Range
from finegrain.errors import ConfigError, WeightsError, fault
from finegrain.models.adapter_folder import load_adapter
from finegrain.models.architecture import Architecture, find_architecture
from finegrain.models.backbone import build_classifier, preprocessing_of, require_size
from finegrain.models.classifier import Classifier
from finegrain.models.library import Regularisation
from finegrain.models.recompute import recompute_blocks
from finegrain.models.tensors import SUFFIXES
from finegrain.models.weights import RESERVED_ARGS, WeightsFolder, folder_at, load_file, load_network, load_tag
from finegrain.storage import locate


@dataclass(kw_only=True, slots=True)
class ModelConfig:
    """A classifier of torchvision, of timm or of the project's own zoo, its head replaced for the dataset's classes."""

    name: str = ""
    """`torchvision/resnet50`, `scratch/resnet50`, or bare (ResNets, ViT-B are torchvision's); empty: the folder's."""
    weights: str | None = None
    """A tag (`IMAGENET1K_V2`, `DEFAULT`), a file, a folder in timm's hub layout or an adapter's; none: random."""
    image_size: Count | None = None
    """Side of the network's input in pixels; none: what the weights were trained on."""
    crop_fraction: Annotated[float, Range(above=0, most=1)] | None = None
    """Side of evaluation's central crop over the resized short side; none: the weights' own; 1 sees whole squares."""
    args: dict[str, Any] = field(default_factory=dict)
    """Further arguments of the architecture, e.g. `{"channels": (16, 32)}`; in words `model.args.channels=16,32`."""
    dropout: Probability = 0.0
    """Rate on the features before the head."""
    attention_dropout: Probability = 0.0
    """Rate on attention weights, for networks with attention."""
    drop_path_rate: Probability = 0.0
    """Rate of stochastic depth at the last block, rising linearly from zero."""
    recompute: bool = False
    """Keep only what enters each block for the backward pass, and compute the rest again: less memory, more time."""
    trust: bool = False
    """Allow the code of a torch.hub repository, `hub/OWNER/REPO@COMMIT:ENTRY`, to run."""

    def faults(self) -> list[str]:
        """A network must be named, here or by a folder, and its arguments say nothing that is said elsewhere."""
        faults = []
        if not (self.name or self.weights):
            expected = "an architecture such as resnet50"
            faults.append(fault("model.name is missing", got=self.name, expected=expected, remedy="set model.name"))
        if reserved := [name for name in self.args if name in (*RESERVED_ARGS, "image_size", "img_size")]:
            what, remedy = "model.args sets what it may not", "set model.weights or model.image_size instead"
            faults.append(fault(what, got=", ".join(reserved), expected="arguments of shape", remedy=remedy))
        return faults

    def build(self, *, num_classes: int, train_size: int | None = None) -> Classifier:
        """The classifier with the weights loaded and a new head where needed.

        Args:
            num_classes: K.
            train_size: Side of training images in pixels; none: the network's own.

        Raises:
            ConfigError: The architecture lacks a kind of dropout, or takes images of one size only, or torch.hub is
                not trusted.
            WeightsError: The name or the weights cannot be used.
        """
        path = self._path()
        if path is not None and not path.exists():
            remedy = "name a file or folder that exists, or set FINEGRAIN_DATA to the folder above it"
            raise WeightsError(
                fault("no weights file here", got=str(path), expected="a tag, a file or a folder", remedy=remedy)
            )
        folder = None if path is None else folder_at(path)
        architecture = self._architecture(folder)
        tag = self.weights if path is None else architecture.library.tag_of_file(architecture.name, path.name)
        cfg = folder.pretrained_cfg if folder else architecture.library.pretrained_cfg(architecture.name, tag)
        classifier = build_classifier(
            architecture,
            num_classes=num_classes,
            preprocessing=preprocessing_of(cfg, image_size=self.image_size, crop_fraction=self.crop_fraction),
            model_args={**(folder.model_args if folder else {}), **self.args},
            dropout=self.dropout,
            regularisation=Regularisation(attention_dropout=self.attention_dropout, drop_path_rate=self.drop_path_rate),
            train_size=train_size,
            prompts=folder.prompts if folder else None,
        )
        size = classifier.preprocessing.image_size
        require_size(architecture, classifier.network, size, "model.image_size")
        if train_size is not None and train_size != size:
            require_size(architecture, classifier.network, train_size, "augment.image_size")
        if self.weights is not None:
            _start_head(classifier.get_submodule(classifier.head_name))
        if folder is not None and folder.base is not None:
            load_network(classifier, self._adapted(folder), source=str(folder.file))
        elif folder is not None:
            load_file(classifier, folder.file, sha256=folder.sha256)
        elif path is not None:
            load_file(classifier, path)
        elif tag is not None:
            load_tag(classifier, architecture, tag)
        if self.recompute:
            recompute_blocks(classifier)
        return classifier

    def _adapted(self, folder: WeightsFolder) -> Classifier:
        """The network of an adapter's folder: the base that it names, with the adapter merged into it."""
        assert folder.base is not None
        config = ModelConfig(
            name=folder.architecture,
            weights=folder.base.weights,
            image_size=preprocessing_of(folder.pretrained_cfg).image_size,
            trust=self.trust,
        )
        path, place = config._path(), folder.file.parent
        if path is not None and path.resolve() in (place.resolve(), folder.file.resolve()):
            what, remedy = f"{place} is an adapter for itself", "name its base under base in config.json"
            raise WeightsError(fault(what, got=str(folder.base.weights), expected="other weights", remedy=remedy))
        base = config.build(num_classes=len(folder.class_names))
        return load_adapter(place, base, trust=self.trust).merged()

    def _path(self) -> Path | None:
        """Where the weights lie, if they are a file or a folder and not a tag."""
        if self.weights is None:
            return None
        path = locate(self.weights)
        return path if path.exists() or "/" in self.weights or self.weights.endswith(SUFFIXES) else None

    def _architecture(self, folder: WeightsFolder | None) -> Architecture:
        if folder is None:
            architecture = find_architecture(self.name, trust=self.trust)
            self._check_tag(architecture)
            return architecture
        architecture = find_architecture(folder.architecture, trust=self.trust)
        if self.name not in ("", architecture.name, str(architecture)):
            what, remedy = "model.name is not what the weights folder holds", "leave model.name empty"
            raise ConfigError(fault(what, got=self.name, expected=str(architecture), remedy=remedy))
        return architecture

    def _check_tag(self, architecture: Architecture) -> None:
        if self.weights is None or self._path() is not None:
            return
        tags = ["DEFAULT", *architecture.library.tags(architecture.name)]
        if self.weights not in tags:
            what, remedy = f"{architecture} has no such weights", "or give the path of a file or folder that exists"
            raise WeightsError(fault(what, got=self.weights, expected=", ".join(tags[:12]), remedy=remedy))


def _start_head(head: nn.Module) -> None:
    """Start a new head on pretrained features no farther from zero than 1/√D: some libraries do, with few classes."""
    for parameter in head.parameters():
        if parameter.ndim > 1:
            with torch.no_grad():
                parameter.mul_((parameter[0].numel() ** -0.5 / parameter.std()).clamp(max=1.0))
