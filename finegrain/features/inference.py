"""The frozen part of a classifier as a function, as fast as the device allows."""

import copy
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from importlib.util import find_spec

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

_COMPILE_SECONDS = 30.0
"""What torch.compile costs once."""
_FOLDED_GAIN, _GAIN = 1.8, 1.15
"""How much faster folded convolutional networks run for it, at least, and how much others, transformers most of all."""
_LIKENESS = 0.999
"""Smallest cosine between an image's features compiled and not."""
_FEWEST_COMPILED = 256
"""Below this number of images no network is slow enough to repay the compiler, nor to be timed."""


class FrozenBackbone:
    """Maps normalised images float32 [B, 3, S, S] to what is read of them, float32 [B, ...], in inference mode."""

    def __init__(
        self, network: Callable[[Tensor], Tensor], *, runtime: Runtime, dtype: torch.dtype, flat: bool = True
    ) -> None:
        """Wrap what is left of a network whose weights have this `dtype`; `flat` makes what it gives [B, D]."""
        self.network = network
        self.flat = flat
        self.runtime = runtime
        self.dtype = dtype

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Tensor:
        """What is read of `images` [B, 3, S, S]."""
        with self.runtime.autocast() if self.dtype == torch.float32 else nullcontext():
            values = self.network(self.runtime.place_images(images.to(self.dtype))).float()
        return values.flatten(1) if self.flat else values


def frozen(
    classifier: Classifier, runtime: Runtime, *, cut: Cut | None = None, images: int = 0, batch_size: int = 16
) -> FrozenBackbone:
    """What the head of `classifier` reads, [B, D], or what is read at a `cut`, with the weights as they are now.

    In fp32 this is the reference: the classifier itself, operation by operation. In bf16 BatchNorm is folded
    into the convolutions, the weights are cast instead of every activation, and the network is compiled where that
    pays.

    Args:
        classifier: Left as it is, to the bit.
        runtime: Gives the device, the precision and the memory format.
        cut: Where to stop; none: at the head.
        images: How many will be computed; decides whether compiling pays.
        batch_size: Of the batches to come; another size would be compiled again.
    """
    twin = copy.deepcopy(classifier).cpu()
    twin.set_trainable(())
    size = classifier.preprocessing.image_size
    probe = torch.randn(batch_size, 3, size, size, generator=torch.Generator().manual_seed(0))
    folded, dtype = 0, torch.float32
    with torch.no_grad():
        network = _without_head(twin, probe[:2]) if cut is None else _Until(twin, cut.path)
        if runtime.precision == "bf16":
            network, folded = _folded(network, probe[:2])
            network, dtype = _cast(network, probe[:2])
    network.to(runtime.device)
    if runtime.channels_last:
        network.to(memory_format=torch.channels_last)
    backbone = FrozenBackbone(network, runtime=runtime, dtype=dtype, flat=cut is None)
    if (
        runtime.compile == "auto"
        and runtime.precision == "bf16"
        and cut is None
        and images >= _FEWEST_COMPILED
        and _pays(backbone, probe, images, gain=_FOLDED_GAIN if folded else _GAIN)
    ):
        return _compiled(backbone, probe)
    return backbone


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


def _pays(backbone: FrozenBackbone, batch: Tensor, images: int, *, gain: float) -> bool:
    """Whether compiling saves more time on `images` images than it takes, if the network gets `gain` times faster."""
    backbone(batch).cpu()
    started = time.perf_counter()
    backbone(batch).cpu()
    seconds = (time.perf_counter() - started) / len(batch) * images
    return seconds * (1 - 1 / gain) > _COMPILE_SECONDS


def _compiled(backbone: FrozenBackbone, batch: Tensor) -> FrozenBackbone:
    """The backbone with its network compiled, if there is a compiler and it computes the same."""
    if not _has_compiler(backbone.runtime.device):
        logger.info("torch.compile is left out: no compiler here")
        return backbone
    logger.info("compiling the network: about %.0f s, once", _COMPILE_SECONDS)
    optimized: Callable[[Tensor], Tensor] = torch.compile(backbone.network, dynamic=False)
    compiled = FrozenBackbone(optimized, runtime=backbone.runtime, dtype=backbone.dtype)
    try:
        with _weights_packed(backbone.runtime.device):
            first = compiled(batch)
        likeness = nn.functional.cosine_similarity(first, backbone(batch)).min().item()
    except Exception as error:  # The compiler is a program of its own and can fail in any way.
        logger.warning("torch.compile failed and is left out: %s", str(error).partition("\n")[0])
        return backbone
    if likeness >= _LIKENESS:
        return compiled
    logger.warning("torch.compile is left out: it changes the features, cosine %.5f", likeness)
    return backbone


@contextmanager
def _weights_packed(device: torch.device) -> Iterator[None]:
    """Let what is compiled inside hold its weights as constants, laid out for the CPU's matrix units beforehand.

    Activations and residual sums are then computed within the convolutions. Options of torch.compile come too late:
    the tracer asks the process's setting.
    """
    from torch._inductor import config  # slow to import, and only a compiler needs it

    with config.patch(freezing=device.type == "cpu"):
        yield


def _has_compiler(device: torch.device) -> bool:
    names = (os.environ.get("CXX"), "g++", "clang++", "c++")
    here = any(name and shutil.which(name) for name in names)
    return here and (device.type == "cpu" or find_spec("triton") is not None)
