"""The project's own networks, to be trained from random weights."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, get_type_hints

from torch import Tensor, nn

from finegrain.config import describe, matches
from finegrain.errors import ConfigError, WeightsError, fault
from finegrain.models.layout import by_unit
from finegrain.models.library import Library, Matcher, Regularisation, construct
from finegrain.models.scratch.alexnet import alexnet
from finegrain.models.scratch.cnn import cnn
from finegrain.models.scratch.googlenet import googlenet
from finegrain.models.scratch.lenet import lenet
from finegrain.models.scratch.mlp import mlp
from finegrain.models.scratch.mnist_conv import mnist_conv1, mnist_conv2
from finegrain.models.scratch.mnist_vit import MnistViT
from finegrain.models.scratch.mytorch import mytorch_fcn, mytorch_lenet
from finegrain.models.scratch.nanovit import NanoViT
from finegrain.models.scratch.nin import nin
from finegrain.models.scratch.patch_lstm import PatchLstm
from finegrain.models.scratch.resnet import BLOCKS, resnet, resnet8
from finegrain.models.scratch.vgg import CONVOLUTIONS, vgg


@dataclass(frozen=True, slots=True)
class _Network:
    """What a name stands for."""

    build: Callable[..., nn.Module]
    image_size: int
    """Side in pixels of the images that it was made for."""
    fixed: Mapping[str, Any]
    """Arguments that the name gives."""

    def hints(self) -> dict[str, Any]:
        """The types of the arguments that it takes beside these."""
        function = vars(self.build)["__init__"] if isinstance(self.build, type) else self.build
        given = ("return", "num_classes", "depth") if "depth" in self.fixed else ("return", "num_classes")
        hints = get_type_hints(function, include_extras=True)
        return {name: hint for name, hint in hints.items() if name not in given}


_NETWORKS = {
    "mlp": _Network(mlp, 32, {}),
    "cnn": _Network(cnn, 32, {}),
    "lenet": _Network(lenet, 28, {}),
    "lenet_bn": _Network(lenet, 28, {"batch_norm": True, "padding": 0}),
    "lenet_relu": _Network(lenet, 28, {"activation": "relu"}),
    "alexnet": _Network(alexnet, 32, {}),
    **{f"vgg{depth}": _Network(vgg, 224, {"depth": depth}) for depth in CONVOLUTIONS},
    "nin": _Network(nin, 224, {}),
    "googlenet": _Network(googlenet, 96, {}),
    "resnet8": _Network(resnet8, 28, {}),
    **{f"resnet{depth}": _Network(resnet, 32, {"depth": depth}) for depth in BLOCKS},
    "mnist_conv1": _Network(mnist_conv1, 28, {}),
    "mnist_conv2": _Network(mnist_conv2, 28, {}),
    "mytorch_fcn": _Network(mytorch_fcn, 28, {}),
    "mytorch_lenet": _Network(mytorch_lenet, 28, {}),
    "nanovit": _Network(NanoViT, 32, {}),
    "mnist_vit": _Network(MnistViT, 28, {}),
    "patch_lstm": _Network(PatchLstm, 32, {}),
}


class ScratchLibrary(Library):
    """The zoo in `finegrain/models/scratch/`; names are `scratch/lenet`, arguments those of the functions there."""

    name = "scratch"

    def names(self) -> Sequence[str]:
        """Every architecture's name."""
        return tuple(_NETWORKS)

    def tags(self, name: str) -> Sequence[str]:
        """None: nothing is pretrained."""
        return ()

    def pretrained_cfg(self, name: str, tag: str | None) -> dict[str, Any]:
        """Whole images of the size that the network was made for, pixels in [−1, 1]."""
        size = _NETWORKS[name].image_size
        half = (0.5, 0.5, 0.5)
        return {
            "input_size": (3, size, size),
            "crop_pct": 1.0,
            "interpolation": "bilinear",
            "mean": half,
            "std": half,
        }

    def pretrained_tensors(self, name: str, tag: str) -> Mapping[str, Tensor]:
        """None.

        Raises:
            WeightsError: Always.
        """
        what, remedy = f"scratch/{name} has no pretrained weights", "set model.weights=none, or to a folder"
        raise WeightsError(fault(what, got=tag, expected="none, a file or a folder", remedy=remedy))

    def model_args(self, name: str, image_size: int) -> dict[str, Any]:
        """`image_size` for networks that end in a grid or a sequence of fixed length."""
        return {"image_size": image_size} if "image_size" in _NETWORKS[name].hints() else {}

    def create(
        self, name: str, *, num_classes: int, model_args: Mapping[str, Any], regularisation: Regularisation
    ) -> nn.Module:
        """A network with random weights and `num_classes` outputs.

        Raises:
            ConfigError: It takes no such argument, no such value of one, no images of this size, or has no such
                kind of dropout.
            WeightsError: The values do not go together.
        """
        network = _NETWORKS[name]
        # JSON, in which folders keep them, has no tuples.
        arguments = {key: tuple(value) if isinstance(value, list) else value for key, value in model_args.items()}
        _check(f"scratch/{name}", arguments, network.hints())
        rates = {
            "attention_dropout": ("attention_dropout", regularisation.attention_dropout),
            "drop_path_rate": ("drop_path_rate", regularisation.drop_path_rate),
        }
        build = partial(network.build, num_classes=num_classes, **{**network.fixed, **arguments})
        return construct(build, f"scratch/{name}", {}, rates)

    def head(self, network: nn.Module) -> str:
        """The linear layer of this name, in all of them."""
        return "head"

    def matcher(self, network: nn.Module) -> Matcher:
        """The units of `blocks`, in all of them."""
        return by_unit(network, self.head(network))


def _check(title: str, arguments: Mapping[str, Any], hints: Mapping[str, Any]) -> None:
    for key, value in arguments.items():
        if key not in hints:
            expected, remedy = "one of " + ", ".join(hints), "leave it out of model.args"
            raise ConfigError(fault(f"{title} takes no such argument", got=key, expected=expected, remedy=remedy))
        if not matches(value, hints[key]):
            what, remedy = f"{title} cannot take this {key}", f"set model.args.{key}"
            raise ConfigError(fault(what, got=value, expected=describe(hints[key]), remedy=remedy))
