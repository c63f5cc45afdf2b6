import math
import os
from pathlib import Path
from urllib.error import URLError

import pytest
import safetensors.torch
import timm
import torch
import torch.hub
import torchvision.models as zoo
from timm.layers import DropPath
from torchvision.ops import StochasticDepth

from finegrain.errors import ConfigError, DeviceError, WeightsError
from finegrain.models.architecture import find_architecture
from finegrain.models.backbone import preprocessing_of
from finegrain.models.config import ModelConfig
from finegrain.models.weights import save_folder

IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


def build(num_classes: int = 3, **fields):
    with torch.device("meta"):
        return ModelConfig(**fields).build(num_classes=num_classes)


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("resnet50", "torchvision/resnet50"),
        ("resnext50_32x4d", "torchvision/resnext50_32x4d"),
        ("wide_resnet50_2", "torchvision/wide_resnet50_2"),
        ("vit_h_14", "torchvision/vit_h_14"),
        ("vit_base_patch16_224", "timm/vit_base_patch16_224"),
        ("resnet50d", "timm/resnet50d"),
        ("convnext_tiny", "timm/convnext_tiny"),
        ("mobilenet_v2", "torchvision/mobilenet_v2"),
        ("timm/resnet50", "timm/resnet50"),
        ("torchvision/convnext_tiny", "torchvision/convnext_tiny"),
    ],
)
def test_names(name, full):
    assert str(find_architecture(name)) == full


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("resnet5", "did you mean torchvision/resnet50"),
        ("timm/mobilnetv2_100", "did you mean timm/mobilenetv2_100"),
        ("timm/vit_b_16", "torchvision/vit_b_16"),
        ("resnet50.a1_in1k", "model.name=resnet50 model.weights=a1_in1k"),
        ("qqqqqqqqqqqqqqq", "write torchvision/NAME or timm/NAME"),
        ("", "set model.name"),
    ],
)
def test_unknown_names_get_the_nearest(name, hint):
    with pytest.raises(WeightsError, match=hint):
        find_architecture(name)


def test_a_network_must_be_named():
    assert ModelConfig(name="resnet18").faults() == []
    assert ModelConfig(weights="some/folder").faults() == []
    assert "model.name is missing" in ModelConfig().faults()[0]


@pytest.mark.parametrize(
    ("fields", "image_size", "resize_size", "interpolation"),
    [
        ({"name": "resnet50"}, 224, 256, "bilinear"),
        ({"name": "resnet50", "image_size": 448}, 448, 512, "bilinear"),
        ({"name": "timm/test_vit"}, 160, math.floor(160 / 0.95), "bicubic"),
        ({"name": "timm/vit_tiny_patch16_224", "image_size": 384}, 384, math.floor(384 / 0.9), "bicubic"),
    ],
)
def test_preprocessing_of_random_weights_is_the_architectures(fields, image_size, resize_size, interpolation):
    found = build(**fields).preprocessing
    assert (found.image_size, found.resize_size) == (image_size, resize_size)
    assert found.interpolation == interpolation


def small_state(name: str, **arguments) -> dict[str, torch.Tensor]:
    torch.manual_seed(3)
    return zoo.get_model(name, weights=None, **arguments).state_dict()


def test_torchvision_tags_bring_their_own_preprocessing(monkeypatch):
    state = small_state("resnet18")
    monkeypatch.setattr(zoo.WeightsEnum, "get_state_dict", lambda self, **options: dict(state))
    classifier = ModelConfig(name="resnet18", weights="IMAGENET1K_V1").build(num_classes=4)
    assert classifier.pretrained == "torchvision/resnet18 IMAGENET1K_V1"
    assert torch.equal(classifier.network.conv1.weight, state["conv1.weight"])
    cfg = find_architecture("resnet50").library.pretrained_cfg("resnet50", "IMAGENET1K_V2")
    assert preprocessing_of(cfg).resize_size == 232
    assert {"mean": preprocessing_of(cfg).mean, "std": preprocessing_of(cfg).std} == IMAGENET


def test_timm_tags_bring_their_own_preprocessing(monkeypatch):
    torch.manual_seed(4)
    source = timm.create_model("test_resnet")
    made = timm.create_model

    def create(name, pretrained=False, **arguments):
        return source if pretrained else made(name, **arguments)

    monkeypatch.setattr(timm, "create_model", create)
    monkeypatch.setattr("finegrain.models.timm_library._reach", lambda hub_id: None)
    for tag in ("r160_in1k", "DEFAULT"):
        classifier = ModelConfig(name="test_resnet", weights=tag).build(num_classes=4)
        assert torch.equal(classifier.network.conv1[0].weight, source.conv1[0].weight)
        assert classifier.preprocessing.image_size == 160


@pytest.mark.parametrize("name", ["torchvision/resnet50", "timm/resnet50"])
def test_unknown_tags_get_the_known(name):
    with pytest.raises(WeightsError, match=r"no such weights: got IMAGENET1K_V9; expected DEFAULT, .*path"):
        build(name=name, weights="IMAGENET1K_V9")


def unreachable(*arguments, **options):
    raise URLError("no route to host")


def test_no_network_names_the_file_and_its_place(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.hub, "download_url_to_file", unreachable)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(WeightsError) as caught:
        ModelConfig(name="resnet18", weights="IMAGENET1K_V1").build(num_classes=3)
    assert "resnet18-f37072fd.pth" in str(caught.value)
    assert str(tmp_path / "hub" / "checkpoints") in str(caught.value)

    monkeypatch.setattr("finegrain.models.timm_library._reach", unreachable)
    with pytest.raises(WeightsError, match=r"test_vit\.r160_in1k .*config\.json and model\.safetensors.*put it in"):
        ModelConfig(name="test_vit", weights="DEFAULT").build(num_classes=3)


def test_a_published_file_by_path_keeps_its_preprocessing(tmp_path):
    torch.save(small_state("resnet50"), tmp_path / "resnet50-11ad3fa6.pth")  # the name of IMAGENET1K_V2's file
    (tmp_path / "mine.pth").hardlink_to(tmp_path / "resnet50-11ad3fa6.pth")
    by_file = {
        name: ModelConfig(name="resnet50", weights=str(tmp_path / name)).build(num_classes=2).preprocessing.resize_size
        for name in ("resnet50-11ad3fa6.pth", "mine.pth")
    }
    assert by_file == {"resnet50-11ad3fa6.pth": 232, "mine.pth": 256}


def test_paths_are_looked_up_under_the_data_root(tmp_path, monkeypatch):
    state = timm.create_model("test_resnet", num_classes=3).state_dict()
    safetensors.torch.save_file(state, tmp_path / "net.safetensors")
    monkeypatch.setenv("FINEGRAIN_DATA", str(tmp_path))
    classifier = ModelConfig(name="test_resnet", weights="net.safetensors").build(num_classes=3)
    assert torch.equal(classifier.network.fc.weight, state["fc.weight"])
    with pytest.raises(WeightsError, match="no weights file here"):
        ModelConfig(name="test_resnet", weights="other/net.safetensors").build(num_classes=3)


def test_the_name_must_agree_with_the_folder(tmp_path):
    save_folder(ModelConfig(name="test_resnet").build(num_classes=2), tmp_path, class_names=("a", "b"))
    with pytest.raises(ConfigError, match="expected timm/test_resnet"):
        ModelConfig(name="test_vit", weights=str(tmp_path)).build(num_classes=2)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": "resnet18", "attention_dropout": 0.1}, "no attention_dropout: got 0.1; expected 0"),
        ({"name": "timm/resnet18", "attention_dropout": 0.1}, "no attention_dropout"),
        ({"name": "vit_b_16", "drop_path_rate": 0.2}, "no drop_path_rate: got 0.2"),
        ({"name": "timm/vgg11", "drop_path_rate": 0.2}, "no drop_path_rate: got 0.2"),
        ({"name": "timm/resnetv2_50", "dropout": 0.2}, "no dropout before its head"),
    ],
)
def test_dropout_that_an_architecture_lacks_is_refused(fields, message):
    with pytest.raises(ConfigError, match=message):
        build(**fields)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": "test_vit", "image_size": 100}, "expected a multiple of 16; set model.image_size=96"),
        ({"name": "vit_b_16", "image_size": 100}, "cannot be built: got Input shape indivisible"),
        ({"name": "maxvit_t", "image_size": 96}, "size: got 96; expected a multiple of 224; set model.image_size=224"),
        ({"name": "halonet26t", "image_size": 96}, r"no images of this size: got .*=96 .*; set model.image_size=256"),
        ({"name": "alexnet", "image_size": 30}, r"size: got .*=30 \(.*too small\); .* such as the 224 it was made for"),
        ({"name": "squeezenet1_0"}, "does not end in one linear classifier"),
        ({"name": "googlenet"}, "does not end in one linear classifier"),
        ({"name": "deit_tiny_distilled_patch16_224"}, "not one classifier layer"),
    ],
)
def test_networks_that_cannot_be_used_are_refused(fields, message):
    with pytest.raises(WeightsError, match=message):
        build(**fields)


def test_a_training_size_that_the_network_cannot_divide_is_refused():
    with torch.device("meta"), pytest.raises(WeightsError, match=r"got augment\.image_size=96 .*set augment\.image"):
        ModelConfig(name="halonet26t").build(num_classes=2, train_size=96)


@pytest.mark.parametrize(("name", "image_size", "blocks"), [("rdnet_tiny", 64, 7), ("maxvit_t", 448, 4)])
def test_networks_that_need_help_with_their_size_or_groups(name, image_size, blocks):
    classifier = build(name=name, image_size=image_size)
    with torch.device("meta"):
        assert classifier(torch.zeros(2, 3, image_size, image_size)).shape == (2, 3)
    groups = classifier.layer_groups()
    assert [group.name for group in groups] == ["stem", *(f"block{n + 1}" for n in range(blocks)), "head"]
    assert groups[-1].module_paths[-1].startswith(("network.head", "network.classifier"))


def test_rates_reach_the_network():
    classifier = build(name="test_vit", attention_dropout=0.3, drop_path_rate=0.2, dropout=0.4)
    last = classifier.network.blocks[-1]
    assert last.attn.attn_drop.p == 0.3
    assert last.drop_path1.drop_prob == pytest.approx(0.2)
    assert classifier.get_submodule(classifier.head_name).dropout == 0.4
    classifier = build(name="vit_b_16", attention_dropout=0.3)
    assert classifier.network.encoder.layers[0].self_attention.dropout == 0.3


@pytest.mark.parametrize("rate", [0.0, 0.3])
@pytest.mark.parametrize(
    "name",
    [
        "torchvision/convnext_tiny",
        "torchvision/efficientnet_b0",
        "torchvision/swin_t",
        "torchvision/maxvit_t",
        "timm/swin_tiny_patch4_window7_224",
        "timm/test_convnext",
    ],
)
def test_stochastic_depth_is_what_is_stated_whatever_the_librarys_own(name, rate):
    network = build(name=name, drop_path_rate=rate).network
    depths = [m.p if isinstance(m, StochasticDepth) else m.drop_prob
              for m in network.modules() if isinstance(m, (StochasticDepth, DropPath))]  # fmt: skip
    assert depths == sorted(depths)
    assert max(depths, default=0.0) == pytest.approx(rate)
    assert rate == 0.0 or len(set(depths)) > 2


@pytest.mark.data
@pytest.mark.skipif("FINEGRAIN_DATA" not in os.environ, reason="FINEGRAIN_DATA is not set")
@pytest.mark.parametrize(
    ("folder", "resize_size"),
    [("mobilenetv2_100.in1k", 256), ("mobilenetv2_100.inat_bird", 256), ("vit_tiny_patch16_224.augreg_in1k", 248)],
)
def test_real_backbones_equal_plain_timm(folder, resize_size):
    path = Path(os.environ["FINEGRAIN_DATA"]) / "backbones" / folder
    if not path.is_dir():
        pytest.skip(f"no {folder}")
    classifier = ModelConfig(weights=f"backbones/{folder}").build(num_classes=100).eval()
    assert (classifier.preprocessing.image_size, classifier.preprocessing.resize_size) == (224, resize_size)
    assert classifier.preprocessing.mean == (0.5, 0.5, 0.5)
    network = timm.create_model(f"local-dir:{path}", pretrained=True).eval()
    images = torch.randn(1, 3, 224, 224)
    expected = network.forward_head(network.forward_features(images), pre_logits=True)
    assert torch.equal(classifier.forward_features(images), expected)


def test_a_network_is_shown_each_size_once(monkeypatch):
    shown: list[tuple[int, ...]] = []
    forward = timm.models.ResNet.forward
    monkeypatch.setattr(timm.models.ResNet, "forward", lambda self, x: shown.append(x.shape[2:]) or forward(self, x))
    ModelConfig(name="test_resnet", image_size=32).build(num_classes=3)
    assert shown == [(32, 32)]
    ModelConfig(name="test_resnet", image_size=32).build(num_classes=3, train_size=48)
    assert shown[1:] == [(32, 32), (48, 48)]


def test_too_little_memory_for_an_image_is_not_taken_for_a_size_that_the_network_refuses(monkeypatch):
    def full(*_: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(timm.models.ResNet, "forward", full)
    with pytest.raises(DeviceError, match=r"memory is used up: got DefaultCPUAllocator: .*; lower model\.image_size"):
        ModelConfig(name="test_resnet", image_size=32).build(num_classes=3)
