"""Maps of what speaks for a class, by Grad-CAM and its family (pytorch-grad-cam) or by attention."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from finegrain.errors import ConfigError, fault
from finegrain.models.classifier import Classifier
from finegrain.saliency.attention import class_attention, recorded_attention, rollout
from finegrain.saliency.layer import Layer, find_layers, patches_reach_head, tensor_of
from finegrain.saliency.undisturbed import undisturbed

Method = Literal["gradcam", "gradcam++", "xgradcam", "hirescam", "layercam", "eigencam", "rollout", "attention"]
"""
- gradcam: Selvaraju et al., ICCV 2017. gradcam++: Chattopadhay et al., WACV 2018. xgradcam: Fu et al., BMVC 2020.
- hirescam: Draelos & Carin 2020. layercam: Jiang et al., TIP 2021.
- eigencam: Muhammad & Yeasin, IJCNN 2020: the first principal component of the features, whatever the class.
- rollout: Abnar & Zuidema, ACL 2020. attention: the class token's in the last layer, mean over heads.
"""
ATTENTION_METHODS: tuple[Method, ...] = ("rollout", "attention")
CLASSLESS: tuple[Method, ...] = ("eigencam", *ATTENTION_METHODS)
"""Methods that know no class: their map is the same for every one."""


class Explainer:
    """Maps of one method for one network, which is as it was before after each call."""

    def __init__(
        self, network: nn.Module, *, head: nn.Module, attentions: Sequence[nn.Module], method: Method = "gradcam"
    ) -> None:
        """Name the parts of the network; nothing is run yet.

        Args:
            network: Images float [B, 3, S, S] → logits [B, K].
            head: Its classifier layer.
            attentions: Its self-attention modules, in order.
            method: How.
        """
        self.method = method
        self._network = network
        self._head = head
        self._attentions = attentions
        self._layers: tuple[Layer, ...] = ()

    @classmethod
    def of(cls, model: Classifier, *, method: Method) -> "Explainer":
        """The explainer of a classifier, which knows its own parts."""
        return cls(
            model.network,
            head=model.get_submodule(model.head_name),
            attentions=[model.get_submodule(path) for path in model.attention_modules()],
            method=method,
        )

    def maps(self, images: Tensor, weights: Tensor) -> NDArray[np.float32]:
        """Where each image speaks for Σ_k w_k · logit_k, float32 [..., B, S, S] in [0, 1].

        One class has the weight 1. +1 and −1 ask what speaks for one class and not the other: the gradient of the
        difference of two logits, in which what they share cancels before the map is rectified (Zhang et al.,
        "Finer-CAM", CVPR 2025); the difference of two maps would compare what was normalised apart. However many sums
        are asked about, the images go through the network once.

        Args:
            images: Prepared, float [B, 3, S, S], on the network's device.
            weights: float [..., B, K].

        Raises:
            ConfigError: The network has no grid of features, none that the logits depend on, or no attention where the
                method needs it.
        """
        with undisturbed(self._network):
            if self.method in ATTENTION_METHODS:
                maps = self._attention_maps(images)
                return np.broadcast_to(maps, (*weights.shape[:-2], *maps.shape))
            maps = self._class_activation_maps(images, weights.reshape(-1, *weights.shape[-2:]))
            return maps.reshape(*weights.shape[:-1], *maps.shape[-2:])

    def attention(self, images: Tensor) -> Tensor:
        """What the class token looks at, float [B, layers, heads, h, w], each map summing to what it gives patches.

        Raises:
            ConfigError: The network is no plain vision transformer.
        """
        with undisturbed(self._network):
            layer, weights = self._attend(images)
        maps = class_attention(weights, prefix=layer.prefix)
        return maps.reshape(*maps.shape[:3], layer.height, layer.width)

    def reads_class_token(self, images: Tensor) -> bool:
        """Whether logits depend on the class token alone, of the last tokens; only then is its attention telling.

        Raises:
            ConfigError: The network has no grid of features.
        """
        with undisturbed(self._network):
            layer = self._find(images)[-1]
            return layer.prefix > 0 and not patches_reach_head(
                self._network, images, head=self._head, prefix=layer.prefix
            )

    def _class_activation_maps(self, images: Tensor, weights: Tensor) -> NDArray[np.float32]:
        """[Q, B, S, S] for weights [Q, B, K]; features and gradients make heat by the library, added up over layers."""
        layers = self._find(images)[-1 if self.method in CLASSLESS else 0 :]
        kept: dict[nn.Module, Tensor] = {}

        def keep(module: nn.Module, _: Any, output: Any) -> Any:
            # The graph begins at the first. What runs after reads a copy, as it may write in place (DenseNet's ReLU).
            kept[module] = tensor_of(output).requires_grad_()
            copy = kept[module].clone()
            return (copy, *output[1:]) if isinstance(output, tuple) else copy

        with ExitStack() as stack:
            for layer in layers:
                stack.enter_context(layer.module.register_forward_hook(keep))
            logits = self._network(images)
        if not logits.requires_grad:  # the layer is on a side branch, as NTS-Net's proposals are
            what, got = "the network cannot be explained", "logits that no gradient links to its last grid of features"
            expected, remedy = "a network in one line, such as a CNN, ViT or Swin", "choose another model"
            raise ConfigError(fault(what, got=got, expected=expected, remedy=remedy))
        cam, scaled = _library(self.method, self._network)
        outputs = [kept[layer.module] for layer in layers]
        features = [_array(layer, output.detach()) for layer, output in zip(layers, outputs, strict=True)]
        maps = []
        for gradients in _gradients(logits, outputs, weights):
            heat = sum(
                cam.get_cam_image(images, layer.module, None, values, _array(layer, gradient), False)
                for layer, values, gradient in zip(layers, features, gradients, strict=True)
            )
            maps.append(scaled(scaled(np.maximum(heat, 0), tuple(images.shape[:1:-1]))))
        return np.stack(maps)

    def _attention_maps(self, images: Tensor) -> NDArray[np.float32]:
        layer, weights = self._attend(images)
        if self.method == "rollout":
            rows = rollout(weights, prefix=layer.prefix)
        else:
            rows = class_attention(weights[-1:], prefix=layer.prefix).mean(dim=(1, 2))
        maps = rows.reshape(-1, 1, layer.height, layer.width)
        maps = functional.interpolate(maps, size=images.shape[2:], mode="bilinear")[:, 0]
        low, high = maps.amin(dim=(1, 2), keepdim=True), maps.amax(dim=(1, 2), keepdim=True)
        scaled: NDArray[np.float32] = ((maps - low) / (high - low).clamp(min=1e-12)).float().cpu().numpy()
        return scaled

    @torch.no_grad()
    def _attend(self, images: Tensor) -> tuple[Layer, list[Tensor]]:
        layer = self._find(images)[-1]
        with recorded_attention(self._attentions if layer.arrangement == "tokens" else ()) as weights:
            self._network(images)
        tokens = layer.prefix + layer.height * layer.width
        if not weights or any(layer_weights.shape[2:] != (tokens, tokens) for layer_weights in weights):
            raise ConfigError(
                fault(
                    f"{self.method} needs attention between all patches",
                    got=f"{type(self._network).__name__}, which has none",
                    expected="a vision transformer such as ViT or DeiT (Swin attends within windows)",
                    remedy="choose another method, e.g. method=gradcam",
                )
            )
        return layer, weights

    def _find(self, images: Tensor) -> tuple[Layer, ...]:
        if not self._layers:
            self._layers = find_layers(self._network, images, head=self._head, attentions=self._attentions)
        return self._layers


def _gradients(logits: Tensor, outputs: Sequence[Tensor], weights: Tensor) -> Iterator[Sequence[Tensor]]:
    """Of the sums that each of `weights` [Q, B, K] asks about; a difference of earlier sums costs no backward pass."""
    asked: list[Tensor] = []
    known: list[Sequence[Tensor]] = []
    for row in weights:
        pairs = ((i, j) for i in range(len(asked)) for j in range(len(asked)) if torch.equal(asked[i] - asked[j], row))
        if pair := next(pairs, None):
            yield [first - second for first, second in zip(known[pair[0]], known[pair[1]], strict=True)]
            continue
        asked.append(row)
        known.append(torch.autograd.grad((logits * row).sum(), outputs, retain_graph=True))
        yield known[-1]


def _array(layer: Layer, output: Tensor) -> NDArray[np.float32]:
    """What a layer gives, or its gradient, as the library wants it: [B, C, h, w]."""
    values: NDArray[np.float32] = layer.as_grid(output).float().cpu().numpy()
    return values


def _library(method: Method, network: nn.Module) -> tuple[Any, Callable[..., NDArray[np.float32]]]:
    """The library's method, watching no layer, and its scaling to [0, 1]; imported here alone, as it takes seconds."""
    import pytorch_grad_cam as library
    from pytorch_grad_cam.utils.image import scale_cam_image

    cam = {
        "gradcam": library.GradCAM,
        "gradcam++": library.GradCAMPlusPlus,
        "xgradcam": library.XGradCAM,
        "hirescam": library.HiResCAM,
        "layercam": library.LayerCAM,
        "eigencam": library.EigenCAM,
    }[method]
    return cam(network, []), scale_cam_image
