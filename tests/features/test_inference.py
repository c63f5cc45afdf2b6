"""The frozen backbone gives what the head reads, fast or as a reference, and leaves the classifier alone."""

import copy
import logging
from dataclasses import replace

import pytest
import torch
from feature_set import classifier, runtime
from torch import Tensor, nn
from torch._inductor import config as inductor
from torch.nn.functional import cosine_similarity

from finegrain.features import inference
from finegrain.features.inference import frozen
from finegrain.runtime import RuntimeConfig

NAMES = ("torchvision/resnet18", "timm/test_resnet", "timm/mobilenetv2_035", "timm/test_vit")


def build(name: str):
    return classifier(name, image_size=None if "vit" in name else 64)


def batch(model, count: int = 3) -> Tensor:
    size = model.preprocessing.image_size
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(1))


def reference(model, images: Tensor) -> Tensor:
    with torch.no_grad():
        return copy.deepcopy(model).eval().forward_features(images)


@pytest.fixture(scope="module", params=NAMES)
def model(request):
    return build(request.param)


def test_fp32_is_the_reference_and_bf16_is_close(model) -> None:
    images = batch(model)
    expected = reference(model, images)
    exact = frozen(model, runtime("fp32"))(images)
    torch.testing.assert_close(exact, expected, rtol=1e-4, atol=1e-4)
    plain = replace(runtime("fp32"), channels_last=False)
    assert torch.equal(frozen(model, plain)(images), expected)
    close = frozen(model, runtime("bf16"))(images)
    assert close.dtype == torch.float32
    assert cosine_similarity(close, expected).min() >= 0.999


def test_the_classifier_is_untouched() -> None:
    model = build("timm/test_resnet")
    model.set_trainable(("network.fc",), boundary="network.fc")
    runtime("bf16").place_model(model.train())
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    names = [name for name, _ in model.named_modules()]
    logits = model(batch(model))
    backbone = frozen(model, runtime("bf16"))
    backbone(batch(model))
    assert [name for name, _ in model.named_modules()] == names
    assert model.network.fc.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert torch.equal(model(batch(model)), logits)
    assert logits.requires_grad
    with torch.no_grad():
        model.network.conv1[0].weight.zero_()
    assert backbone(batch(model)).abs().sum() > 0


def test_dropout_is_off() -> None:
    model = build("timm/test_vit")
    nn.init.normal_(model.network.head.weight)
    model.network.pos_drop = nn.Dropout(0.5)
    backbone = frozen(model.train(), runtime())
    assert torch.equal(backbone(batch(model)), backbone(batch(model)))


class HeadInside(nn.Module):
    """Its head is not the last thing it computes."""

    def __init__(self, *, fails: bool) -> None:
        super().__init__()
        self.body, self.fc, self.fails = nn.Conv2d(3, 6, 3), nn.Linear(6, 5), fails

    def forward(self, images: Tensor) -> Tensor:
        logits = self.fc(self.body(images).mean((2, 3)))
        return logits @ torch.ones(5, 5, dtype=logits.dtype) if self.fails else logits.softmax(1)


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_head_within_the_network_is_read_all_the_same(fails: bool, precision) -> None:
    model = build("timm/test_resnet")
    model.network = HeadInside(fails=fails)
    expected = reference(model, batch(model))
    assert expected.shape == (3, 6)
    found = frozen(model, runtime(precision))(batch(model))
    torch.testing.assert_close(found, expected, rtol=0.05, atol=1e-5 if precision == "fp32" else 0.02)


class Float32Inside(nn.Module):
    """Cannot compute in bf16: it has a number format of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.norm, self.fc = nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.Linear(6, 5)

    def forward(self, images: Tensor) -> Tensor:
        return self.fc(self.norm(self.body(images)).mean((2, 3)).float() @ torch.eye(6))


def test_what_cannot_be_cast_runs_under_autocast(caplog) -> None:
    model = build("timm/test_resnet")
    model.network = Float32Inside()
    model.network.body.register_forward_pre_hook(lambda _, inputs: (inputs[0].float(),))
    with caplog.at_level(logging.INFO):
        found = frozen(model, runtime("bf16"))(batch(model))
    assert "autocast" in caplog.text
    assert cosine_similarity(found, reference(model, batch(model))).min() >= 0.999


def test_folding_that_changes_features_is_undone(monkeypatch, caplog) -> None:
    def wrong(network: nn.Module, images: Tensor) -> int:
        nn.init.zeros_(network.layer4[0].conv1.weight)
        return 1

    monkeypatch.setattr(inference, "fold_batch_norm", wrong)
    model = build("torchvision/resnet18")
    found = frozen(model, runtime("bf16"))(batch(model))
    assert "BatchNorm is not folded" in caplog.text
    assert cosine_similarity(found, reference(model, batch(model))).min() >= 0.999


# Compiling


class Compiler:
    """Stands in for torch.compile."""

    def __init__(self, monkeypatch, *, fails: bool = False, factor: float = 1.0) -> None:
        self.networks: list[nn.Module] = []
        self.packs: list[bool] = []
        self.fails, self.factor = fails, factor
        monkeypatch.setattr(inference.torch, "compile", self)
        monkeypatch.setattr(inference, "_has_compiler", lambda device: True)
        monkeypatch.setattr(inference, "_pays", lambda *_, gain: True)

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
    found = frozen(model, replace(runtime(precision), **changes), images=images)(batch(model))
    assert cosine_similarity(found, reference(model, batch(model))).min() >= 0.999


def test_the_config_says_whether_to_compile() -> None:
    assert RuntimeConfig(device="cpu").build().compile == "auto"
    assert RuntimeConfig(device="cpu", compile="never").build().compile == "never"


def test_networks_are_compiled_in_bf16_where_it_pays(monkeypatch) -> None:
    compiler = Compiler(monkeypatch)
    gains = []
    monkeypatch.setattr(inference, "_pays", lambda *_, gain: gains.append(gain) or True)
    compiles("timm/test_resnet")
    compiles("timm/test_vit")
    assert len(compiler.networks) == 2
    assert gains[0] > gains[1] > 1, "convolutions gain more"
    compiler.networks.pop()
    compiles("timm/test_resnet", "fp32")
    compiles("timm/test_resnet", images=100)
    compiles("timm/test_resnet", compile="never")
    monkeypatch.setattr(inference, "_pays", lambda *_, gain: False)
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
    monkeypatch.setattr(inference, "_pays", lambda *_, gain: True)
    monkeypatch.setattr(inference.shutil, "which", lambda name: None)
    with caplog.at_level(logging.INFO):
        compiles("timm/test_resnet")
    assert "no compiler here" in caplog.text
    assert not compiler.networks


def test_compiling_pays_for_many_slow_images(monkeypatch) -> None:
    clock = iter([0.0, 1.6, 0.0, 1.6])
    monkeypatch.setattr(inference.time, "perf_counter", lambda: next(clock))
    backbone = frozen(build("timm/test_resnet"), runtime())
    images = torch.zeros(16, 3, 64, 64)
    assert inference._pays(backbone, images, 1000, gain=1.5)  # 100 s, of which compiling would save 33
    assert not inference._pays(backbone, images, 800, gain=1.5)
