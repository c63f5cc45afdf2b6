"""Build a classifier of an architecture: its input size, preprocessing, dropout and head."""

import math
from collections.abc import Mapping
from functools import partial
from typing import Any, cast, get_args

import torch
from timm.data import resolve_data_config
from torch import nn

from finegrain.errors import ConfigError, WeightsError, fault
from finegrain.models.architecture import Architecture
from finegrain.models.classifier import Classifier, DropoutLinear
from finegrain.models.library import Regularisation
from finegrain.models.prompts import PromptLayout
from finegrain.preprocessing import Interpolation, Preprocessing
from finegrain.runtime import device_faults


def build_classifier(
    architecture: Architecture,
    *,
    num_classes: int,
    preprocessing: Preprocessing,
    model_args: Mapping[str, Any] | None = None,
    dropout: float = 0.0,
    regularisation: Regularisation | None = None,
    train_size: int | None = None,
    prompts: PromptLayout | None = None,
) -> Classifier:
    """A classifier with random weights.

    Args:
        architecture: What to build.
        num_classes: K, outputs of the head.
        preprocessing: Its image size is the network's.
        model_args: Further arguments of the library's constructor.
        dropout: Rate in [0, 1) on the features before the head.
        regularisation: Dropout rates inside the network.
        train_size: Side of training images in pixels, where it is not the network's own.
        prompts: Tokens to add to a vision transformer's own.

    Raises:
        ConfigError: The architecture lacks what is asked for: a kind of dropout, images of another size, prompts.
        WeightsError: It cannot be built so.
    """
    library, name = architecture.library, architecture.name
    size = preprocessing.image_size
    sized = library.model_args(name, size)
    arguments = {**(model_args or {}), **sized}
    create = partial(library.create, name, num_classes=num_classes, regularisation=regularisation or Regularisation())
    network = create(model_args=arguments)
    _check_patches(network, size, "model.image_size")
    if sized and train_size is not None and train_size != size:
        arguments |= _any_size_args(architecture, network, size, train_size)
        network = create(model_args=arguments)
    head = library.head(network)
    if dropout > 0:
        network.set_submodule(head, _with_dropout(network.get_submodule(head), dropout, architecture))
    classifier = Classifier(
        network,
        architecture=str(architecture),
        preprocessing=preprocessing,
        num_classes=num_classes,
        head=head,
        matcher=library.matcher(network),
        model_args=arguments,
    )
    if prompts is not None:
        classifier.add_prompts(count=prompts.count, deep=prompts.deep)
    return classifier


def preprocessing_of(
    cfg: Mapping[str, Any], *, image_size: int | None = None, crop_fraction: float | None = None
) -> Preprocessing:
    """What weights expect of images, from their `pretrained_cfg` in timm's terms.

    Args:
        cfg: `input_size`, `crop_pct`, `interpolation`, `mean`, `std`; absent ones as timm fills them in.
        image_size: Another size in pixels; the resize keeps its proportion to the crop.
        crop_fraction: Another proportion of crop to resize, in (0, 1].

    Raises:
        WeightsError: The description is of no RGB classifier.
    """
    try:
        data = resolve_data_config(pretrained_cfg=dict(cfg))
        if data["interpolation"] not in get_args(Interpolation):
            raise ValueError(f"interpolation {data['interpolation']}")
        size = image_size or int(data["input_size"][-1])
        # The tolerance makes up for 224 / (224 / 232) falling just short of 232.
        resize = math.floor(size / (crop_fraction or float(data["crop_pct"])) + 1e-6)
        if min(size, resize, *data["std"]) <= 0:
            raise ValueError(f"image_size {size}, resize {resize}, std {data['std']}")
        return Preprocessing(
            image_size=size,
            resize_size=resize,
            mean=_triple(data["mean"]),
            std=_triple(data["std"]),
            interpolation=cast(Interpolation, data["interpolation"]),
        )
    except (AssertionError, TypeError, ValueError, ZeroDivisionError) as error:
        remedy = "mend pretrained_cfg in config.json, or choose other weights"
        raise WeightsError(
            fault("the weights' preprocessing cannot be used", got=str(error), expected="RGB images", remedy=remedy)
        ) from error


def require_size(architecture: Architecture, network: nn.Module, size: int, key: str) -> None:
    """Refuse a size that the network says no to only when it is shown such an image.

    Args:
        architecture: Of the network.
        network: Shown one blank image, and left as it was.
        size: Side of the image in pixels.
        key: What sets it.

    Raises:
        DeviceError: There is no room for one image of this size.
        WeightsError: The network does not take it.
    """
    training = network.training
    network.eval()
    try:
        with device_faults(room=f"lower {key}"), torch.no_grad():
            network(torch.zeros(1, 3, size, size, device=next(network.parameters()).device))
    except (AssertionError, IndexError, RuntimeError, TypeError, ValueError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        made_for = preprocessing_of(architecture.library.pretrained_cfg(architecture.name, None)).image_size
        what, remedy = f"{architecture} takes no images of this size", f"set {key}={made_for}"
        if size == made_for:
            remedy = "choose another architecture"
        expected = f"one that it can divide, such as the {made_for} it was made for"
        raise WeightsError(fault(what, got=f"{key}={size} ({reason})", expected=expected, remedy=remedy)) from error
    finally:
        network.train(training)


def _with_dropout(layer: nn.Module, dropout: float, architecture: Architecture) -> DropoutLinear:
    if not isinstance(layer, nn.Linear):
        what, kind = f"{architecture} takes no dropout before its head", type(layer).__name__
        raise ConfigError(fault(what, got=kind, expected="a linear head", remedy="set model.dropout=0"))
    return DropoutLinear(layer, dropout)


def _triple(values: Any) -> tuple[float, float, float]:
    red, green, blue = (float(value) for value in values)
    return red, green, blue


def _any_size_args(architecture: Architecture, network: nn.Module, size: int, train_size: int) -> dict[str, Any]:
    arguments = architecture.library.any_size_args(network)
    if not arguments:
        raise ConfigError(
            fault(
                f"{architecture} takes images of one size, in training as in evaluation",
                got=f"augment.image_size={train_size}",
                expected=f"none, or {size}",
                remedy="set model.image_size instead",
            )
        )
    _check_patches(network, train_size, "augment.image_size")
    return arguments


def _check_patches(network: nn.Module, image_size: int, key: str) -> None:
    """Refuse an image size that would lose pixels: some ViTs cut the rest off in silence."""
    patches: Any = getattr(getattr(network, "patch_embed", None), "proj", None)
    if not isinstance(patches, nn.Conv2d) or patches.stride != patches.kernel_size:
        return
    side = max(patches.stride)
    if image_size % side:
        raise WeightsError(
            fault(
                f"{key} does not divide into patches",
                got=image_size,
                expected=f"a multiple of {side}",
                remedy=f"set {key}={max(image_size // side, 1) * side}",
            )
        )
