"""Where and how a run computes: device, precision, memory format, seeds, and a record of the machine."""

import ctypes
import hashlib
import os
import platform
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from finegrain.config import Count, CountOrZero, Positive
from finegrain.errors import ConfigError, DeviceError, fault
from finegrain.replicas import ALONE, Replicas

Precision = Literal["fp32", "bf16", "fp16"]
Compile = Literal["auto", "never"]
_ROOM = "lower train.batch_size (and raise train.accumulate_steps by as much), or train fewer layers"
_RECORDED = ("torch", "torchvision", "timm", "albumentations", "numpy", "pillow", "simplejpeg", "scikit-learn")


def seed_of(*parts: int | str) -> int:
    """A seed in [0, 2^63) that is a function of `parts` alone: the same on every machine and in every process."""
    digest = hashlib.sha256("\x1f".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Runtime:
    """The device and number formats that every part of a run computes with."""

    device: torch.device
    precision: Precision
    channels_last: bool
    num_workers: int
    deterministic: bool
    compile: Compile = "auto"
    replicas: Replicas = ALONE
    """The processes that train together; only generators are trained by several."""

    def autocast(self) -> AbstractContextManager[object]:
        """The context of a forward pass: mixed precision, or nothing for fp32."""
        if self.precision == "fp32":
            return nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16 if self.precision == "bf16" else torch.float16)

    @contextmanager
    def training_forward(self) -> Iterator[None]:
        """The context of a forward pass that will be followed by a backward pass.

        On the CPU in bf16 attention is computed in plain steps: the fused kernel's backward pass costs more.
        """
        plain = self.device.type == "cpu" and self.precision == "bf16"
        with self.autocast(), sdpa_kernel(SDPBackend.MATH) if plain else nullcontext():
            yield

    def seed(self, seed: int) -> None:
        """Set the generators that a step draws from; torch.manual_seed, which knows more devices, takes 0.7 ms."""
        torch.default_generator.manual_seed(seed)
        if self.device.type == "cuda":
            torch.cuda.manual_seed(seed)

    def place_model(self, model: nn.Module) -> nn.Module:
        """`model` moved to the device, in place, its convolutions' weights in the memory format of the run."""
        model.to(self.device)
        if self.device.type == "cpu" and self.precision == "bf16":
            for module in model.modules():
                _avoid_slow_bf16(module)
        return model.to(memory_format=torch.channels_last) if self.channels_last else model

    def place_images(self, images: Tensor) -> Tensor:
        """`images` [B, C, H, W], or rows of another shape, on the device in the memory format of the run."""
        layout = torch.channels_last if self.channels_last and images.ndim == 4 else torch.contiguous_format
        return images.to(self.device, non_blocking=True).contiguous(memory_format=layout)

    def peak_memory_bytes(self) -> int:
        """Peak memory so far: of the device's allocator on CUDA, else of the process."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device)
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


@dataclass(kw_only=True, slots=True)
class RuntimeConfig:
    """Where and how to compute."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto: CUDA where there is one, else the CPU."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """auto: bf16 where the device computes in it, else fp32. fp16 (with a gradient scaler) needs CUDA."""
    channels_last: bool = True
    """Lay images and convolution weights out as [B, H, W, C] in memory; faster, same numbers to rounding."""
    num_workers: CountOrZero = 0
    """Loader processes; 0 decodes in threads of this process. Batches are the same for every number."""
    threads: Count | None = None
    """Threads of one operation on the CPU; none: what torch finds."""
    deterministic: bool = True
    """Refuse CUDA operations whose result changes from run to run; the CPU needs nothing."""
    compile: Compile = "auto"
    """auto: compile a frozen network where the images to come repay the half minute that it takes."""
    cache: str | None = None
    """Folder that keeps what frozen networks gave, for all runs; none: one in the run's directory, while it trains."""
    cache_limit_gb: Positive | None = None
    """What that folder may take, in 10⁹ bytes: networks not used for longest give way; none: no limit."""

    def build(self) -> Runtime:
        """Choose the device and number formats, and set the process-wide switches.

        Raises:
            ConfigError: CUDA or a precision is asked for that this machine lacks.
        """
        device = _choose_device(self.device)
        precision = _choose_precision(self.precision, device)
        if self.threads is not None:
            torch.set_num_threads(self.threads)
        # Plain attention otherwise computes bf16 inputs in fp32.
        torch.backends.cuda.allow_fp16_bf16_reduction_math_sdp(True)
        torch.use_deterministic_algorithms(self.deterministic and device.type == "cuda")
        torch.backends.cudnn.benchmark = not self.deterministic
        if self.deterministic:
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        _keep_freed_memory()
        return Runtime(
            device=device,
            precision=precision,
            channels_last=self.channels_last,
            num_workers=self.num_workers,
            deterministic=self.deterministic,
            compile=self.compile,
        )


@contextmanager
def device_faults(*, room: str = _ROOM) -> Iterator[None]:
    """Say in one message what the device cannot do.

    Args:
        room: What makes room in its memory.

    Raises:
        DeviceError: Its memory is used up, or an operation has no deterministic form.
    """
    try:
        yield
    except RuntimeError as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        if isinstance(error, torch.OutOfMemoryError) or "DefaultCPUAllocator" in reason:
            raise DeviceError(
                fault("the device's memory is used up", got=reason, expected="room for one batch", remedy=room)
            ) from error
        if "does not have a deterministic implementation" in reason:
            remedy = "set runtime.deterministic=false"
            raise DeviceError(
                fault("an operation is not deterministic", got=reason, expected="one that is", remedy=remedy)
            ) from error
        raise


def environment(runtime: Runtime) -> dict[str, str]:
    """What a reader needs to know of the machine and the libraries."""
    record = {"python": platform.python_version(), "system": platform.platform(), "cpus": str(os.cpu_count())}
    record |= {"device": _device_name(runtime.device), "precision": runtime.precision}
    record |= {"threads": str(torch.get_num_threads())}
    for package in _RECORDED:
        try:
            record[package] = version(package)
        except PackageNotFoundError:
            continue
    return record


def _choose_device(wanted: str) -> torch.device:
    if wanted == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            fault("runtime.device is not here", got="cuda", expected="a CUDA device", remedy="set runtime.device=cpu")
        )
    return torch.device("cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu")


def _choose_precision(wanted: str, device: torch.device) -> Precision:
    if wanted == "fp16" and device.type != "cuda":
        raise ConfigError(
            fault(
                "runtime.precision needs CUDA",
                got="fp16 on the CPU",
                expected="auto, fp32 or bf16",
                remedy="set runtime.precision=bf16",
            )
        )
    if wanted == "auto":
        return "bf16" if _computes_bf16(device) else "fp32"
    return wanted  # type: ignore[return-value]


def _computes_bf16(device: torch.device) -> bool:
    """Whether bf16 is native: emulated bf16 runs, but slower than fp32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()


def _avoid_slow_bf16(module: nn.Module) -> None:
    """Let a strided depthwise convolution train in fp32: in bf16 its input's gradient takes ten times as long on CPUs.

    The hooks are plain functions of the module that runs, so a deep copy's are its own.
    """
    if isinstance(module, nn.Conv2d) and module.groups == module.in_channels > 1 and max(module.stride) > 1:
        module.register_forward_pre_hook(_leave_autocast)
        module.register_forward_hook(_enter_autocast, always_call=True)


def _leave_autocast(module: Any, inputs: tuple[Tensor]) -> tuple[Tensor] | None:
    module._left_autocast = torch.is_grad_enabled() and torch.is_autocast_enabled("cpu")
    if not module._left_autocast:
        return None
    torch.set_autocast_enabled("cpu", False)
    return (inputs[0].float(),)


def _enter_autocast(module: Any, inputs: tuple[Tensor], output: Tensor) -> None:
    if module._left_autocast:
        torch.set_autocast_enabled("cpu", True)
        module._left_autocast = False


def _keep_freed_memory() -> None:
    """Tell glibc to keep freed activations: it otherwise returns them to the kernel and faults them in every step."""
    if sys.platform != "linux":
        return
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except OSError:
        return
    trim_threshold, mmap_threshold = -1, -3
    mallopt(mmap_threshold, 1 << 30)
    mallopt(trim_threshold, (1 << 31) - 1)


class Stopwatch:
    """Wall time by phase: `with clock("train"): ...`; phases of one name add up."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, phase: str) -> Iterator[None]:
        """Count the time spent inside as `phase`."""
        started = time.monotonic()
        try:
            yield
        finally:
            self.seconds[phase] = self.seconds.get(phase, 0.0) + time.monotonic() - started
