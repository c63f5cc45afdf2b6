"""torchvision's classifiers."""

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch.hub
import torchvision.models as zoo
from torch import Tensor, nn
from torchvision.ops import StochasticDepth

from finegrain.errors import WeightsError, fault
from finegrain.models.layout import by_unit
from finegrain.models.library import Library, Matcher, Regularisation, cannot_fetch, construct, lacks

_RESNET: Matcher = {"stem": r"^conv1|^bn1", "blocks": r"^layer(\d+)"}
_VIT: Matcher = {
    "stem": r"^conv_proj|^class_token|^encoder\.pos_embedding",
    # 99999 is timm's mark for "belongs to the group before".
    "blocks": [(r"^encoder\.layers\.encoder_layer_(\d+)", None), (r"^encoder\.ln", (99999,))],
}
_MAXVIT_STEP = 32 * 7
"""Pixels: it halves the image five times, and every grid must divide into windows of 7 × 7."""


class TorchvisionLibrary(Library):
    """torchvision.models: networks by builder function, weights by enum member."""

    name = "torchvision"

    def names(self) -> Sequence[str]:
        """Every classifier's name."""
        return _names()

    def tags(self, name: str) -> Sequence[str]:
        """The members of the architecture's weights enum."""
        return [str(weights.name) for weights in zoo.get_model_weights(name)]

    def pretrained_cfg(self, name: str, tag: str | None) -> dict[str, Any]:
        """The weights' own `transforms()`, in timm's terms; with no tag, those of the oldest weights."""
        weights = zoo.get_model_weights(name)
        # The oldest recipe (256 → 224 for ResNets) is the one that bare state dicts and papers mean; the
        # newer ones were tuned to their weights.
        transforms = (weights[tag] if tag else next(iter(weights))).transforms()
        crop, resize = transforms.crop_size[0], transforms.resize_size[0]
        return {
            "input_size": (3, crop, crop),
            "crop_pct": crop / resize,
            "interpolation": transforms.interpolation.value,
            "mean": tuple(transforms.mean),
            "std": tuple(transforms.std),
        }

    def tag_of_file(self, name: str, file_name: str) -> str | None:
        """The enum member whose file has this name, hash and all."""
        members = zoo.get_model_weights(name).__members__.items()
        return next((str(tag) for tag, weights in members if Path(weights.url).name == file_name), None)

    def pretrained_tensors(self, name: str, tag: str) -> Mapping[str, Tensor]:
        """The tensors of torchvision's file, checked by the hash in its name."""
        weights = zoo.get_model_weights(name)[tag]
        try:
            tensors: Mapping[str, Tensor] = weights.get_state_dict(progress=False, check_hash=True, weights_only=True)
        except (OSError, RuntimeError) as error:
            place = f"in {Path(torch.hub.get_dir()) / 'checkpoints'}"
            raise cannot_fetch(f"torchvision/{name} {tag}", error, file=weights.url, place=place) from error
        return tensors

    def model_args(self, name: str, image_size: int) -> dict[str, Any]:
        """`image_size` for ViTs, `input_size` for MaxViT."""
        if name.startswith("maxvit_"):
            if image_size % _MAXVIT_STEP:
                what, expected = f"torchvision/{name} takes no images of this size", f"a multiple of {_MAXVIT_STEP}"
                remedy = f"set model.image_size={max(image_size // _MAXVIT_STEP, 1) * _MAXVIT_STEP}"
                raise WeightsError(fault(what, got=image_size, expected=expected, remedy=remedy))
            return {"input_size": (image_size, image_size)}
        return {"image_size": image_size} if name.startswith("vit_") else {}

    def create(
        self, name: str, *, num_classes: int, model_args: Mapping[str, Any], regularisation: Regularisation
    ) -> nn.Module:
        """A network with random weights and `num_classes` outputs."""
        rates = {"attention_dropout": ("attention_dropout", regularisation.attention_dropout)}
        build = functools.partial(zoo.get_model, name, weights=None, num_classes=num_classes)
        network = construct(build, f"torchvision/{name}", model_args, rates)
        _set_drop_path(network, regularisation.drop_path_rate, f"torchvision/{name}")
        return network

    def head(self, network: nn.Module) -> str:
        """Path of the last linear layer."""
        linear = [path for path, module in network.named_modules() if isinstance(module, nn.Linear)]
        if not linear or hasattr(network, "aux_logits"):
            raise WeightsError(
                fault(
                    "this torchvision network does not end in one linear classifier",
                    got=type(network).__name__,
                    expected="one whose output is the logits of one linear layer",
                    remedy="choose another architecture",
                )
            )
        return str(linear[-1])

    def matcher(self, network: nn.Module) -> Matcher:
        """Stages of ResNets, blocks of ViTs, and the units of the largest container elsewhere."""
        if isinstance(network, zoo.ResNet):
            return _RESNET
        return _VIT if isinstance(network, zoo.VisionTransformer) else by_unit(network, self.head(network))


def _set_drop_path(network: nn.Module, rate: float, title: str) -> None:
    """Scale the rates of stochastic depth to end at `rate`; the builders' own are 0.1 to 0.5, and often fixed."""
    layers = [module for module in network.modules() if isinstance(module, StochasticDepth)]
    highest = max((layer.p for layer in layers), default=0.0)
    if rate > 0 and highest == 0:
        raise lacks(title, "drop_path_rate", rate)
    for layer in layers:
        layer.p *= rate / (highest or 1.0)


@functools.cache
def _names() -> tuple[str, ...]:
    return tuple(zoo.list_models(module=zoo))
