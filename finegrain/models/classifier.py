"""A network with what the rest of the project needs to know of it, and with parts that can be frozen for good."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.hooks import RemovableHandle

from finegrain.errors import ConfigError, fault
from finegrain.models.adapters import AdaptableLayer, adaptable_layers, inject, merge, tuned_modules
from finegrain.models.layout import LayerGroup, attention_modules, layer_groups
from finegrain.models.library import Matcher
from finegrain.models.prompts import PromptLayout, insert_prompts
from finegrain.preprocessing import Preprocessing


@dataclass(frozen=True, kw_only=True, slots=True)
class Census:
    """Numbers of parameters."""

    total: int
    trainable: int

    def __str__(self) -> str:
        share = self.trainable / max(self.total, 1)
        return f"trainable {self.trainable:,} of {self.total:,} ({share:.1%})"


class DropoutLinear(nn.Linear):
    """A linear layer that drops out its input while it trains; its parameters keep a plain layer's names."""

    def __init__(self, linear: nn.Linear, dropout: float) -> None:
        super().__init__(linear.in_features, linear.out_features, bias=linear.bias is not None, device="meta")
        self.weight, self.bias = linear.weight, linear.bias
        self.dropout = dropout

    def forward(self, features: Tensor) -> Tensor:
        """Map features [..., D] to logits [..., K]."""
        return super().forward(functional.dropout(features, self.dropout, self.training))

    def extra_repr(self) -> str:
        """The plain layer's, with the rate."""
        return f"{super().extra_repr()}, dropout={self.dropout}"


class Classifier(nn.Module):
    """An image classifier; every path it takes or gives starts from itself, e.g. `network.layer4`.

    Frozen means frozen: no gradient, always in eval (so buffers never move and dropout is off), and what runs
    before the boundary runs without recording a graph. A new classifier is wholly trainable.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        architecture: str,
        preprocessing: Preprocessing,
        num_classes: int,
        head: str,
        matcher: Matcher,
        model_args: Mapping[str, Any] | None = None,
        pretrained: str | None = None,
    ) -> None:
        """Wrap a network.

        Args:
            network: Maps images [B, 3, S, S] to logits [B, K].
            architecture: Its name with its library, e.g. `timm/resnet50`.
            preprocessing: What it expects of images.
            num_classes: K.
            head: Path within the network of the classifier layer.
            matcher: How its parameter names fall into layer groups.
            model_args: The arguments it was built with, to build it again.
            pretrained: Where its weights came from; None where they are random.
        """
        super().__init__()
        self.network = network
        self.architecture = architecture
        self.preprocessing = preprocessing
        self.num_classes = num_classes
        self.head_name = f"network.{head}"
        self.model_args = dict(model_args or {})
        self.pretrained = pretrained
        self.adapter: Mapping[str, Any] | None = None
        """peft's description of the adapter in it; None where it has none."""
        self.prompts: PromptLayout | None = None
        """The tokens that were added to it; None where there are none."""
        self._groups = layer_groups(self, "network", matcher)
        self._trainable: tuple[str, ...] = ("network",)
        self._parameter_names: tuple[str, ...] = ()
        self._frozen_statistics = False
        self._boundary: str | None = None
        self._hook: RemovableHandle | None = None
        self._record_after_boundary = False

    def forward(self, images: Tensor) -> Tensor:
        """Map prepared images, float [B, 3, S, S], to logits [B, K]."""
        if self._boundary is None:
            return self._logits(images)
        # The whole network is entered without recording; a hook on the boundary module switches recording on
        # again, if it was on outside, and leaving the `with` restores the caller's mode. Being a bound method,
        # the hook of a deep copy belongs to the copy. Outside of this call the flag is off and the hook idle.
        self._record_after_boundary = torch.is_grad_enabled()
        try:
            with torch.set_grad_enabled(False):
                return self._logits(images)
        finally:
            self._record_after_boundary = False

    def forward_features(self, images: Tensor) -> Tensor:
        """Map prepared images, float [B, 3, S, S], to what the head reads, [B, D], before dropout."""
        seen: list[Tensor] = []
        head = self.get_submodule(self.head_name)
        hook = head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        try:
            self(images)
        finally:
            hook.remove()
        return seen[-1].flatten(1)

    def train(self, mode: bool = True) -> "Classifier":
        """Put the trainable modules into training mode; the frozen ones stay in eval."""
        super().train(False)
        self.training = mode
        for path in self._trainable:
            self.get_submodule(path).train(mode)
        if self._frozen_statistics:
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.train(False)
        return self

    @property
    def boundary(self) -> str | None:
        """Path of the first trainable module, before which no graph is recorded; None: everything is recorded."""
        return self._boundary

    @property
    def trainable(self) -> tuple[str, ...]:
        """Paths of the modules that are trained."""
        return self._trainable

    def tuned_tensors(self) -> dict[str, Tensor]:
        """What training may change, by its name in the state dict: parameters, and BatchNorm's statistics wherever."""
        norms = [path for path, module in self.named_modules() if isinstance(module, _BatchNorm)]
        statistics = {f"{path}.{name}" for path in norms for name, _ in self.get_submodule(path).named_buffers()}
        prefixes = tuple(f"{path}." for path in self._trainable)
        single = {*statistics, *self._parameter_names}
        return {
            name: tensor for name, tensor in self.state_dict().items() if name in single or name.startswith(prefixes)
        }

    def layer_groups(self) -> tuple[LayerGroup, ...]:
        """Its layers from stem to head."""
        return self._groups

    def attention_modules(self) -> tuple[str, ...]:
        """Paths of its self-attention modules, in order."""
        return attention_modules(self, "network")

    def adaptable_layers(self) -> tuple[AdaptableLayer, ...]:
        """The layers that an adapter can be put on, in order, the classifier layer left out."""
        size, parameter = self.preprocessing.image_size, next(self.parameters())
        image = torch.zeros(1, 3, size, size, device=parameter.device, dtype=parameter.dtype)
        training = self.training
        self.eval()
        try:
            return adaptable_layers(self.network, image, head=self.head_name.removeprefix("network."))
        finally:
            self.train(training)

    def adapt(self, settings: Mapping[str, Any], paths: Sequence[str]) -> None:
        """Put an adapter on layers, and train it and the classifier layer alone.

        Args:
            settings: Fields of one of peft's configurations, with its `peft_type`.
            paths: Those of `adaptable_layers`, e.g. `network.blocks.0.attn.qkv`.

        Raises:
            ConfigError: There is an adapter, or this kind cannot be put on these layers.
        """
        if self.adapter is not None:
            what, kind = "the network has an adapter already", str(self.adapter["peft_type"])
            raise ConfigError(fault(what, got=kind, expected="none", remedy="take its merged() instead"))
        boundary = self.first_module_around(paths)
        adapter = {**settings, "target_modules": [path.removeprefix("network.") for path in paths]}
        inject(self.network, adapter)
        self.adapter = adapter
        self.set_trainable((*tuned_modules(self), self.head_name), boundary=boundary)

    def add_prompts(self, *, count: int, deep: bool) -> str:
        """Put learned tokens beside a vision transformer's own, unless it has just these; see `models.prompts`.

        Returns:
            Path of the modules that hold them, the first to run first.

        Raises:
            ConfigError: The network takes no prompts, or has others.
        """
        layout = PromptLayout(count=count, deep=deep)
        if self.prompts is None:
            insert_prompts(self.network, layout)
            self.prompts = layout
            # Those that enter with a block are of its group; the stem's comes first.
            places = {1 + int(name): name for name, _ in self.network.get_submodule("prompts").named_children()}
            self._groups = tuple(
                replace(group, module_paths=(f"network.prompts.{places[number]}", *group.module_paths))
                if number in places
                else group
                for number, group in enumerate(self._groups)
            )
        if self.prompts != layout:
            what, remedy = "the weights come with other prompts", "set tuning.count and tuning.deep to these"
            raise ConfigError(fault(what, got=str(layout), expected=str(self.prompts), remedy=remedy))
        return "network.prompts"

    def merged(self) -> "Classifier":
        """A copy in which the adapter, if there is one, has become part of the weights; wholly trainable.

        Prompts stay: no weights compute the same.
        """
        twin = copy.deepcopy(self)
        twin.set_trainable(("network",))
        merge(twin.network)
        twin.adapter = None
        return twin

    def first_module_around(self, names: Sequence[str]) -> str:
        """Path of the first module of the layer groups, a block of a ViT for example, that has one of these in it."""
        paths = [path for group in self._groups for path in group.module_paths]
        return next(path for path in paths if any(f"{name}.".startswith(f"{path}.") for name in names))

    def set_trainable(
        self,
        module_paths: Sequence[str],
        *,
        parameter_names: Sequence[str] = (),
        boundary: str | None = None,
        frozen_statistics: bool = False,
    ) -> None:
        """Train these modules and freeze all others.

        Args:
            module_paths: Paths of the modules to train, e.g. `network.fc`.
            parameter_names: Single parameters to train in modules that otherwise stay frozen, e.g. `network.bn1.bias`.
            boundary: The first of them to run; what runs before it must be frozen. None: record everything.
            frozen_statistics: BatchNorm's running statistics stay as they are and are what training normalises by.
        """
        if self._hook is not None:
            self._hook.remove()
        self._boundary, self._hook = boundary, None
        self._trainable, self._frozen_statistics = tuple(module_paths), frozen_statistics
        self._parameter_names = tuple(parameter_names)
        self.requires_grad_(False)
        for path in self._trainable:
            self.get_submodule(path).requires_grad_(True)
        for name in self._parameter_names:
            self.get_parameter(name).requires_grad_(True)
        if boundary is not None:
            self._hook = self.get_submodule(boundary).register_forward_pre_hook(self._pass_boundary)
        self.train(self.training)

    def set_head(self, weight: Tensor, bias: Tensor) -> None:
        """Give the classifier layer these values.

        Args:
            weight: [K, D].
            bias: [K].

        Raises:
            ConfigError: The layer has no bias.
        """
        head = self.get_submodule(self.head_name)
        if not isinstance(head.bias, Tensor) or not isinstance(head.weight, Tensor):
            remedy = "set tuning.probe_first=false"
            raise ConfigError(
                fault("the classifier layer has no bias", got=self.architecture, expected="a bias", remedy=remedy)
            )
        with torch.no_grad():
            head.weight.copy_(weight.view_as(head.weight))
            head.bias.copy_(bias)

    def trainable_parameters(self) -> list[nn.Parameter]:
        """The parameters that are not frozen."""
        return [parameter for parameter in self.parameters() if parameter.requires_grad]

    def census(self) -> Census:
        """Count its parameters."""
        total = sum(parameter.numel() for parameter in self.parameters())
        return Census(total=total, trainable=sum(parameter.numel() for parameter in self.trainable_parameters()))

    def _logits(self, images: Tensor) -> Tensor:
        logits: Tensor = self.network(images)
        return logits

    def _pass_boundary(self, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        if self._record_after_boundary:
            torch.set_grad_enabled(True)
