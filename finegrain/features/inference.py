"""The frozen part of a classifier as a function, as fast as the device allows."""

import copy
import logging
from collections.abc import Callable
from contextlib import nullcontext
from functools import lru_cache, partial

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from finegrain.features.cut import Cut
from finegrain.features.folding import fold_batch_norm
from finegrain.models.classifier import Classifier
from finegrain.runtime import Runtime

logger = logging.getLogger(__name__)

FOLDING_TOLERANCE = 1e-4
"""Largest ‖folded − unfolded‖ / ‖unfolded‖ of an image's features in fp32."""


class FrozenBackbone:
    """Maps normalised images float32 [B, 3, S, S] to what is read of them, float32 [B, ...], in inference mode."""

    def __init__(
        self,
        network: Callable[[Tensor], Tensor],
        *,
        runtime: Runtime,
        dtype: torch.dtype,
        image_size: int,
        folded: bool,
        flat: bool,
    ) -> None:
        """Wrap what is left of a network.

        Args:
            network: Maps images to what is read of them.
            runtime: Gives the device, the precision and the memory format.
            dtype: Of its weights.
            image_size: S.
            folded: Whether it had BatchNorm.
            flat: Whether to give [B, D].
        """
        self.network = network
        self.runtime = runtime
        self.dtype = dtype
        self.image_size = image_size
        self.folded = folded
        self.flat = flat

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Tensor:
        """What is read of `images` [B, 3, S, S]."""
        with self.runtime.autocast() if self.dtype == torch.float32 else nullcontext():
            values = self.network(self.runtime.place_images(images.to(self.dtype))).float()
        return values.flatten(1) if self.flat else values


def frozen(classifier: Classifier, runtime: Runtime, *, cut: Cut | None = None) -> FrozenBackbone:
    """What the head of `classifier` reads, [B, D], or what is read at a `cut`, with the weights as they are now.

    In fp32 this is the reference: the classifier itself, operation by operation. In bf16 BatchNorm is folded
    into the convolutions, and the weights are cast instead of every activation.

    Args:
        classifier: Left as it is, to the bit.
        runtime: Gives the device, the precision and the memory format.
        cut: Where to stop; none: at the head.
    """
    twin = classifier.merged().cpu()
    twin.set_trainable(())
    twin.eval()
    size = classifier.preprocessing.image_size
    probe = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    folded, dtype = 0, torch.float32
    network: nn.Module = _Features(twin) if cut is None else _Until(twin, cut.path)
    if runtime.precision == "bf16":
        with torch.no_grad():
            network = _without_head(twin, probe) if cut is None else network
            network, folded = _folded(network, probe)
            network, dtype = _cast(network, probe)
    network.to(runtime.device)
    if runtime.channels_last:
        network.to(memory_format=torch.channels_last)
    return FrozenBackbone(network, runtime=runtime, dtype=dtype, image_size=size, folded=folded > 0, flat=cut is None)


def frozen_once(classifier: Classifier, *, cut: Cut | None = None) -> Callable[[Runtime], FrozenBackbone]:
    """`frozen` that keeps what it built last: to be shared between extractions, as building takes seconds."""
    return lru_cache(maxsize=1)(partial(frozen, classifier, cut=cut))


def batch_that_fits(backbone: FrozenBackbone, batch_size: int) -> int:
    """`batch_size`, halved until the device has the memory for it; a processor's is not tried.

    Raises:
        OutOfMemoryError: It has none for a single image.
    """
    while backbone.runtime.device.type != "cpu":
        try:
            backbone(torch.zeros(batch_size, 3, backbone.image_size, backbone.image_size))
        except torch.OutOfMemoryError:
            if batch_size == 1:
                raise
            batch_size //= 2
            logger.info("the device's memory is small: %d images at a time", batch_size)
        else:
            break
    return batch_size


class _Features(nn.Module):
    """A classifier that stops short of its head by a hook, where the head's place in the network is not the end."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, images: Tensor) -> Tensor:
        return self.classifier.forward_features(images)


class _Until(nn.Module):
    """A classifier up to what one of its modules reads; what follows does not run."""

    def __init__(self, classifier: Classifier, path: str) -> None:
        super().__init__()
        self.classifier = classifier
        self.path = path

    def forward(self, images: Tensor) -> Tensor:
        hook = self.classifier.get_submodule(self.path).register_forward_pre_hook(_stop)
        try:
            self.classifier(images)
        except _Reached as reached:
            return reached.value
        finally:
            hook.remove()
        raise AssertionError(f"{self.path} did not run")


class _Reached(Exception):
    """Carries what a module reads out of the network."""

    def __init__(self, value: Tensor) -> None:
        self.value = value


def _stop(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    raise _Reached(inputs[0])


def _without_head(twin: Classifier, probe: Tensor) -> nn.Module:
    """The network with an identity for a head, if that is all that follows the features."""
    expected = twin.forward_features(probe)
    network = copy.deepcopy(twin.network)
    network.set_submodule(twin.head_name.removeprefix("network."), nn.Identity())
    try:
        found = network(probe)
    except Exception:  # The network may do anything with what it takes for logits.
        return _Features(twin)
    same = isinstance(found, Tensor) and found.flatten(1).shape == expected.shape and found.flatten(1).equal(expected)
    return network if same else _Features(twin)


def _folded(network: nn.Module, probe: Tensor) -> tuple[nn.Module, int]:
    """The network with its norms folded, and their number; as it was where folding would change what it computes."""
    folded = copy.deepcopy(network)
    count = fold_batch_norm(folded, probe)
    expected, found = network(probe).flatten(1), folded(probe).flatten(1)
    difference = ((found - expected).norm(dim=1) / expected.norm(dim=1)).max().item()
    if difference <= FOLDING_TOLERANCE:
        return folded, count
    logger.warning("BatchNorm is not folded: features would change by %.1e", difference)
    return network, 0


def _cast(network: nn.Module, probe: Tensor) -> tuple[nn.Module, torch.dtype]:
    """The network with its weights in bf16, if it can compute so; norms with statistics stay in fp32."""
    cast = copy.deepcopy(network).to(torch.bfloat16)
    for module in cast.modules():
        if isinstance(module, _BatchNorm):
            module.float()
    try:
        cast(probe.to(torch.bfloat16))
    except RuntimeError as error:
        logger.info("weights stay in fp32 under autocast: %s", str(error).partition("\n")[0])
        return network, torch.float32
    return cast, torch.bfloat16
