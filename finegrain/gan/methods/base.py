"""What recipes of generators have in common, whatever the method."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from torch import nn

from finegrain.data.base import DataConfig
from finegrain.errors import fault
from finegrain.gan.networks.denoiser import DenoiserConfig
from finegrain.gan.networks.generator import GeneratorConfig
from finegrain.gan.networks.sampler import ImageSize
from finegrain.gan.selection import SelectionConfig
from finegrain.gan.trainer import Method, TrainConfig
from finegrain.runtime import Runtime, RuntimeConfig
from finegrain.storage import name_faults


@dataclass(kw_only=True, slots=True)
class GenerativeRecipe:
    """What every training of a generator is defined by; the same recipe gives the same images."""

    name: str
    """Names the folder of its runs, ckpt/<name>/."""
    seed: int = 0
    """Seed of first weights, order, noise and augmentation."""
    image_size: ImageSize = 64
    """Side in pixels of what is generated; the central square of a real image is reduced to it."""
    data: DataConfig
    train: TrainConfig
    selection: SelectionConfig = field(default_factory=SelectionConfig)
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)

    def faults(self) -> list[str]:
        """A name must do as a folder's name, and no setting may be without effect."""
        default = {field.name: field.default for field in fields(RuntimeConfig)}
        faults = name_faults(self.name)
        if self.data.synthetic is not None:
            got, remedy = self.data.synthetic, "set data.synthetic=none"
            faults.append(fault("a generator learns from real images", got=got, expected="none", remedy=remedy))
        return faults + [
            fault(f"runtime.{key} has no effect", got=value, expected=f"{default[key]}", remedy="leave it out")
            for key in ("compile", "cache", "cache_limit_gb")
            if (value := getattr(self.runtime, key)) != default[key]
        ]

    @property
    def sampler(self) -> GeneratorConfig | DenoiserConfig:
        """The section of the network that is sampled from."""
        raise NotImplementedError

    def networks(self, num_classes: int) -> dict[str, nn.Module]:
        """All that is trained, by name, with random weights from torch's generator of random numbers."""
        raise NotImplementedError

    def method(self, networks: Mapping[str, Any], runtime: Runtime) -> Method:
        """What trains `networks`, which it moves to the device."""
        raise NotImplementedError
