import copy
import os
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch
from torch import nn

from finegrain import runtime as module
from finegrain.errors import ConfigError, DeviceError
from finegrain.runtime import Runtime, RuntimeConfig, Stopwatch, device_faults, environment, seed_of

CPU = Runtime(device=torch.device("cpu"), precision="fp32", channels_last=True, num_workers=0, deterministic=True)


@pytest.fixture(autouse=True)
def switches() -> Iterator[None]:
    """Put the process-wide switches back."""
    threads, benchmark = torch.get_num_threads(), torch.backends.cudnn.benchmark
    deterministic = torch.are_deterministic_algorithms_enabled()
    yield
    torch.set_num_threads(threads)
    torch.backends.cudnn.benchmark = benchmark
    torch.use_deterministic_algorithms(deterministic)


@pytest.fixture
def no_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


# Seeds


def test_seeds_are_the_same_for_ever() -> None:
    """Written down: another value would change every run that was ever made."""
    assert seed_of(0, "weights") == 7831180306208225803
    assert seed_of(7, "order", 3) == 7391995676944021016


def test_seeds_of_different_parts_differ() -> None:
    parts = [(seed, kind, epoch) for seed in range(10) for kind in ("order", "image") for epoch in range(50)]
    parts += [(1, 23), (12, 3), ("1", "23", ""), (123,)]
    seeds = {seed_of(*part) for part in parts}
    assert len(seeds) == len(parts)
    assert all(0 <= seed < 2**63 for seed in seeds)
    for seed in list(seeds)[:5]:
        torch.manual_seed(seed)


# Choices


@pytest.mark.usefixtures("no_cuda")
def test_without_a_gpu_the_cpu_is_taken() -> None:
    assert RuntimeConfig(device="auto").build().device == torch.device("cpu")
    assert RuntimeConfig(device="cpu").build().device == torch.device("cpu")


@pytest.mark.usefixtures("no_cuda")
def test_a_missing_gpu_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"runtime\.device is not here: got cuda; .*; set runtime\.device=cpu"):
        RuntimeConfig(device="cuda").build()


def test_fp16_is_refused_on_the_cpu() -> None:
    with pytest.raises(ConfigError, match=r"needs CUDA: got fp16 on the CPU; .*; set runtime\.precision=bf16"):
        RuntimeConfig(device="cpu", precision="fp16").build()


@pytest.mark.parametrize(("native", "precision"), [(True, "bf16"), (False, "fp32")])
def test_auto_takes_bf16_only_where_it_is_native(monkeypatch: pytest.MonkeyPatch, native: bool, precision: str) -> None:
    monkeypatch.setattr(module, "_computes_bf16", lambda device: native)
    assert RuntimeConfig(device="cpu").build().precision == precision
    assert RuntimeConfig(device="cpu", precision="fp32").build().precision == "fp32"
    assert RuntimeConfig(device="cpu", precision="bf16").build().precision == "bf16"


def test_the_switches_are_set() -> None:
    built = RuntimeConfig(device="cpu", threads=1, num_workers=3, channels_last=False, deterministic=True).build()
    assert (built.num_workers, built.channels_last, built.deterministic) == (3, False, True)
    assert torch.get_num_threads() == 1
    assert not torch.backends.cudnn.benchmark
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"]
    RuntimeConfig(device="cpu", deterministic=False).build()
    assert torch.backends.cudnn.benchmark
    assert torch.get_num_threads() == 1


# Placing and computing


@pytest.mark.parametrize("channels_last", [True, False])
def test_model_and_images_share_a_layout(channels_last: bool) -> None:
    placed = replace(CPU, channels_last=channels_last)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    model = nn.Conv2d(3, 4, 3)
    assert placed.place_model(model) is model
    assert model.weight.is_contiguous(memory_format=layout)
    for images in (torch.rand(2, 3, 8, 8), torch.rand(2, 8, 8, 3).permute(0, 3, 1, 2)):
        moved = placed.place_images(images)
        assert moved.is_contiguous(memory_format=layout)
        assert torch.equal(moved, images)


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_forward_passes_compute_in_the_precision(precision: str, dtype: torch.dtype) -> None:
    computing = replace(CPU, precision=precision)  # type: ignore[arg-type]
    for context in (computing.autocast(), computing.training_forward()):
        with context:
            assert nn.Linear(4, 2)(torch.rand(3, 4)).dtype == dtype
    assert isinstance(CPU.autocast(), nullcontext)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_attention_learns_alike_in_both_contexts(precision: str) -> None:
    computing = replace(CPU, precision=precision)  # type: ignore[arg-type]
    gradients = []
    for context in (computing.autocast, computing.training_forward):
        torch.manual_seed(0)
        layer = nn.Linear(8, 24)
        with context():
            query, key, value = layer(torch.rand(2, 4, 6, 8)).chunk(3, dim=-1)
            result = nn.functional.scaled_dot_product_attention(query, key, value)
        result.float().square().sum().backward()
        assert layer.weight.grad is not None
        gradients.append(layer.weight.grad)
    torch.testing.assert_close(*gradients, rtol=0.05, atol=0.05 if precision == "bf16" else 1e-5)


# Records


def test_the_environment_is_recorded() -> None:
    record = environment(CPU)
    assert record["torch"] == torch.__version__.split("+")[0] or record["torch"] == torch.__version__
    assert record["python"] == ".".join(map(str, sys.version_info[:3]))
    assert record["precision"] == "fp32"
    assert record["device"]
    assert all(isinstance(value, str) for value in record.values())


def test_a_package_that_is_not_there_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_RECORDED", ("torch", "no-such-package"))
    assert "no-such-package" not in environment(CPU)


def test_peak_memory_grows_with_what_is_held() -> None:
    before = CPU.peak_memory_bytes()
    held = torch.ones(64 << 18)
    assert CPU.peak_memory_bytes() >= before > 10 << 20
    assert held.nbytes == 64 << 20


def test_phases_of_one_name_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([0.0, 1.5, 10.0, 10.25, 20.0, 21.0])
    monkeypatch.setattr(module.time, "monotonic", lambda: next(times))
    clock = Stopwatch()
    with clock("data"):
        pass
    with clock("training"):
        pass
    with pytest.raises(KeyError), clock("data"):
        raise KeyError
    assert clock.seconds == {"data": 2.5, "training": 0.25}


# What the device cannot do


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB\nmore"), "lower train.batch_size"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), "lower train.batch_size"),
        (RuntimeError("foo does not have a deterministic implementation, but"), "runtime.deterministic=false"),
    ],
)
def test_what_a_device_cannot_do_is_one_message(error: RuntimeError, remedy: str) -> None:
    with pytest.raises(DeviceError, match=remedy) as caught, device_faults():
        raise error
    assert "\n" not in str(caught.value)


def test_memory_that_no_machine_has_is_one_message() -> None:
    with pytest.raises(DeviceError, match="used up"), device_faults():
        torch.empty(1 << 50, dtype=torch.uint8)


def test_other_errors_stay_what_they_are() -> None:
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"), device_faults():
        torch.zeros(2, 3) @ torch.zeros(2, 3)


# Depthwise convolutions on the CPU


class Depthwise(nn.Module):
    """Remembers the number format that its convolutions gave."""

    def __init__(self) -> None:
        super().__init__()
        self.plain = nn.Conv2d(4, 4, 3, groups=4, padding=1)
        self.strided = nn.Conv2d(4, 4, 3, groups=4, stride=2)
        self.formats: list[torch.dtype] = []

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        first = self.plain(images)
        second = self.strided(first)
        third = torch.nn.functional.conv2d(second, self.plain.weight, groups=4)
        self.formats = [part.dtype for part in (first, second, third)]
        return third.float().mean()


BF16 = replace(CPU, precision="bf16")
SMALL_IMAGES = torch.ones(2, 4, 9, 9)


def test_a_strided_depthwise_convolution_trains_in_fp32_and_infers_in_bf16() -> None:
    model = Depthwise()
    BF16.place_model(model)
    with BF16.training_forward():
        model(SMALL_IMAGES).backward()
    assert model.formats == [torch.bfloat16, torch.float32, torch.bfloat16]
    assert not torch.is_autocast_enabled("cpu")
    with torch.inference_mode(), BF16.autocast():
        model(SMALL_IMAGES)
    assert model.formats == [torch.bfloat16] * 3
    model(SMALL_IMAGES)
    assert model.formats == [torch.float32] * 3


def test_a_deep_copy_computes_with_its_own_weights() -> None:
    model = Depthwise()
    BF16.place_model(model)
    twin = copy.deepcopy(model)
    with torch.no_grad():
        model.strided.weight.zero_()
        model.strided.bias.zero_()
    with BF16.training_forward():
        assert not twin(SMALL_IMAGES).equal(model(SMALL_IMAGES))
    assert twin.formats == [torch.bfloat16, torch.float32, torch.bfloat16]


def test_autocast_is_on_again_after_an_error_inside() -> None:
    model = Depthwise()
    BF16.place_model(model)
    with BF16.training_forward():
        with pytest.raises(RuntimeError, match="channels"):
            model.strided(torch.ones(2, 3, 9, 9))
        assert torch.is_autocast_enabled("cpu")
