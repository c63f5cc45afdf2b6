"""The project's side of feature extraction: the fast frozen backbone, beside the machine's own limit."""

import logging
import time
from dataclasses import dataclass

import torch
from networks import classifier, images
from side import Cost, Meter
from torch.utils.flop_counter import FlopCounterMode

from finegrain.features.compiling import compiled
from finegrain.features.inference import FrozenBackbone, frozen
from finegrain.runtime import Compile, RuntimeConfig

GEMM = 4096
"""Rows and columns of the matrices whose product is the limit."""
_MANY = 10**6
"""Images to come, so that compiling pays."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FeaturesCost(Cost):
    """What extraction took, and what the processor can do at that moment."""

    flops: float
    """Of an image."""
    gemm_flops: float
    """Of a bf16 matrix product, a CPU second."""
    build_seconds: float
    """Wall time until the first batch: folding, casting, compiling."""

    @property
    def share(self) -> float:
        """Of the limit that the network reaches."""
        return self.flops * self.images / self.cpu_seconds / self.gemm_flops


class FinegrainFeatures:
    """What `extract` runs for each batch; every epoch is followed by a matrix product.

    Args:
        model: timm's name.
        count: Images of an epoch, whole batches.
        batch_size: Images of a forward pass.
        image_size: Their side.
        compile_: `auto`: as for many images.
    """

    def __init__(
        self, *, model: str, count: int, batch_size: int, image_size: int = 224, compile_: Compile = "auto"
    ) -> None:
        logging.basicConfig(level=logging.WARNING)
        runtime = RuntimeConfig(device="cpu", compile=compile_).build()
        built = classifier(model, image_size=image_size)
        self._batches = torch.split(images(count, image_size=image_size), batch_size)
        started = time.perf_counter()
        self._backbone = compiled(frozen(built, runtime), images=_MANY, batch_size=batch_size)
        self._backbone(self._batches[0])
        self._build_seconds = time.perf_counter() - started
        uncompiled = frozen(built, runtime)
        self._flops = flops(uncompiled, self._batches[0])
        self._matrices = torch.randn(2, GEMM, GEMM).to(torch.bfloat16)

    def features(self) -> torch.Tensor:
        """Of all images, float32 [count, D]."""
        return torch.cat([self._backbone(batch) for batch in self._batches])

    def epoch(self) -> FeaturesCost:
        """Compute them once more."""
        meter = Meter()
        cost = meter.read(len(self.features()))
        return FeaturesCost(
            images=cost.images,
            wall_seconds=cost.wall_seconds,
            cpu_seconds=cost.cpu_seconds,
            flops=self._flops,
            gemm_flops=self._gemm_flops(),
            build_seconds=self._build_seconds,
        )

    def _gemm_flops(self) -> float:
        """Of one product, a CPU second."""
        meter = Meter()
        torch.mm(self._matrices[0], self._matrices[1])
        return 2 * GEMM**3 / meter.read(1).cpu_seconds


def flops(backbone: FrozenBackbone, batch: torch.Tensor) -> float:
    """Of an image: multiplications and additions of all convolutions and matrix products."""
    with FlopCounterMode(display=False) as counter:
        backbone(batch)
    return float(counter.get_total_flops()) / len(batch)
