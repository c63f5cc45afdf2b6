"""The frozen backbone gives what the head reads, fast or as a reference, and leaves the classifier alone."""

import copy
import logging
from dataclasses import replace

import pytest
import torch
from feature_set import classifier, runtime
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity

from finegrain.features import inference
from finegrain.features.inference import batch_that_fits, frozen
from finegrain.tuning.lora import Lora

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


class SmallDevice:
    """A backbone on a device whose memory holds so many images at once."""

    def __init__(self, images: int, kind: str = "cuda") -> None:
        self.image_size, self.images = 8, images
        self.runtime = replace(runtime(), device=torch.device(kind))

    def __call__(self, images: Tensor) -> Tensor:
        if len(images) > self.images:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return images


def test_a_batch_is_halved_until_it_fits() -> None:
    assert batch_that_fits(SmallDevice(40), 128) == 32
    assert batch_that_fits(SmallDevice(1000), 128) == 128
    assert batch_that_fits(SmallDevice(0, kind="cpu"), 128) == 128, "not tried on a processor"
    with pytest.raises(torch.OutOfMemoryError):
        batch_that_fits(SmallDevice(0), 128)


def test_an_adapter_is_merged_so_that_batch_norm_folds() -> None:
    model = build("timm/test_resnet")
    Lora(rank=2).apply(model)
    with torch.no_grad():
        for parameter in model.trainable_parameters():
            parameter.add_(0.01)
    images = batch(model)
    torch.testing.assert_close(frozen(model, runtime("fp32"))(images), reference(model, images), rtol=1e-4, atol=1e-4)
    assert frozen(model, runtime("bf16")).folded
    assert model.adapter is not None
