"""Compile a frozen backbone where that saves more time than it takes."""

import copy
import logging
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from finegrain.features.inference import FrozenBackbone

logger = logging.getLogger(__name__)

_COMPILE_SECONDS = 30.0
"""What torch.compile costs once."""
_FOLDED_GAIN, _GAIN = 1.8, 1.15
"""How much faster folded convolutional networks run for it, at least, and how much others, transformers most of all."""
_LIKENESS = 0.999
"""Smallest cosine between an image's features compiled and not."""
_FEWEST_COMPILED = 256
"""Below this number of images no network is slow enough to repay the compiler, nor to be timed."""


def compiled(backbone: FrozenBackbone, *, images: int, batch_size: int) -> FrozenBackbone:
    """A backbone of features in bf16 compiled, if that pays; otherwise, and in fp32, the one given.

    Args:
        backbone: Left as it is.
        images: How many will be computed; decides whether compiling pays.
        batch_size: Of the batches to come; another size would be compiled again.
    """
    runtime, size = backbone.runtime, backbone.image_size
    if not (runtime.compile == "auto" and runtime.precision == "bf16" and backbone.flat):
        return backbone
    batch = torch.randn(batch_size, 3, size, size, generator=torch.Generator().manual_seed(0))
    if images >= _FEWEST_COMPILED and _pays(backbone, batch, images):
        return _compiled(backbone, batch)
    return backbone


def _pays(backbone: FrozenBackbone, batch: Tensor, images: int) -> bool:
    """Whether compiling saves more time on `images` images than it takes."""
    gain = _FOLDED_GAIN if backbone.folded else _GAIN
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
    faster = copy.copy(backbone)
    faster.network = torch.compile(backbone.network, dynamic=False)
    try:
        with _weights_packed(backbone.runtime.device):
            first = faster(batch)
        likeness = cosine_similarity(first, backbone(batch)).min().item()
    except Exception as error:  # The compiler is a program of its own and can fail in any way.
        logger.warning("torch.compile failed and is left out: %s", str(error).partition("\n")[0])
        return backbone
    if likeness >= _LIKENESS:
        return faster
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
