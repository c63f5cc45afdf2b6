"""A frozen backbone is compiled where that pays, and never at the cost of its features."""

import logging
from dataclasses import replace

import pytest
import torch
from feature_set import runtime
from test_inference import batch, build, reference
from torch import Tensor, nn
from torch._inductor import config as inductor
from torch.nn.functional import cosine_similarity

from finegrain.features import compiling
from finegrain.features.compiling import compiled
from finegrain.features.inference import frozen
from finegrain.runtime import RuntimeConfig


class Compiler:
    """Stands in for torch.compile."""

    def __init__(self, monkeypatch, *, fails: bool = False, factor: float = 1.0) -> None:
        self.networks: list[nn.Module] = []
        self.packs: list[bool] = []
        self.fails, self.factor = fails, factor
        monkeypatch.setattr(compiling.torch, "compile", self)
        monkeypatch.setattr(compiling, "_has_compiler", lambda device: True)
        monkeypatch.setattr(compiling, "_pays", lambda *_: True)

    def __call__(self, network: nn.Module, **_: object):
        self.networks.append(network)
        return self.run

    def run(self, images: Tensor) -> Tensor:
        self.packs.append(inductor.freezing)
        if self.fails:
            raise OSError("the compiler is broken")
        features = self.networks[-1](images)
        return features if self.factor == 1 else features.flip(1)


def compiles(name: str, precision="bf16", images: int = 10**6, **changes: str) -> None:
    model = build(name)
    backbone = frozen(model, replace(runtime(precision), **changes))
    found = compiled(backbone, images=images, batch_size=4)(batch(model))
    assert cosine_similarity(found, reference(model, batch(model))).min() >= 0.999


def test_the_config_says_whether_to_compile() -> None:
    assert RuntimeConfig(device="cpu").build().compile == "auto"
    assert RuntimeConfig(device="cpu", compile="never").build().compile == "never"


def test_networks_are_compiled_in_bf16_where_it_pays(monkeypatch) -> None:
    compiler = Compiler(monkeypatch)
    folded: list[bool] = []
    monkeypatch.setattr(compiling, "_pays", lambda backbone, *_: folded.append(backbone.folded) or True)
    compiles("timm/test_resnet")
    compiles("timm/test_vit")
    assert len(compiler.networks) == 2
    assert folded == [True, False]
    compiler.networks.pop()
    compiles("timm/test_resnet", "fp32")
    compiles("timm/test_resnet", images=100)
    compiles("timm/test_resnet", compile="never")
    monkeypatch.setattr(compiling, "_pays", lambda *_: False)
    compiles("timm/test_resnet")
    assert len(compiler.networks) == 1


def test_weights_are_packed_by_the_first_batch_alone(monkeypatch) -> None:
    compiler = Compiler(monkeypatch)
    compiles("timm/test_resnet")
    assert compiler.packs == [True, False], "what others compile in this process is theirs"


@pytest.mark.parametrize(
    ("options", "message"),
    [({"fails": True}, "failed and is left out: the compiler is broken"), ({"factor": 2}, "it changes the features")],
)
def test_a_bad_compiler_is_left_out(monkeypatch, caplog, options, message: str) -> None:
    compiler = Compiler(monkeypatch, **options)
    compiles("timm/test_resnet")
    assert message in caplog.text
    assert compiler.networks


def test_a_missing_compiler_is_left_out(monkeypatch, caplog) -> None:
    compiler = Compiler(monkeypatch)
    monkeypatch.undo()
    monkeypatch.setattr(compiling, "_pays", lambda *_: True)
    monkeypatch.setattr(compiling.shutil, "which", lambda name: None)
    with caplog.at_level(logging.INFO):
        compiles("timm/test_resnet")
    assert "no compiler here" in caplog.text
    assert not compiler.networks


@pytest.mark.parametrize(("name", "images"), [("timm/test_resnet", 700), ("timm/test_vit", 2400)])
def test_compiling_pays_for_many_slow_images(monkeypatch, name: str, images: int) -> None:
    backbone = frozen(build(name), runtime("bf16"))
    batch = torch.zeros(16, 3, backbone.image_size, backbone.image_size)

    def pays(count: int) -> bool:
        clock = iter([0.0, 1.6])  # seconds for 16 images
        monkeypatch.setattr(compiling.time, "perf_counter", lambda: next(clock))
        return compiling._pays(backbone, batch, count)

    assert pays(images), "30 s is less than what it saves"
    assert not pays(images - 100), "convolutions gain more than transformers"
