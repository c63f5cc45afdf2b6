"""Adapters on disk: small, tied to their base, and usable as weights."""

import json
import shutil

import pytest
import safetensors.torch
import timm
import torch

from finegrain.errors import WeightsError
from finegrain.models.adapter_folder import ADAPTER_CONFIG_NAME, SharedBackbone, load_adapter, save_adapter
from finegrain.models.classifier import Classifier
from finegrain.models.config import ModelConfig
from finegrain.models.tensors import digest
from finegrain.models.weights import ADAPTER_TENSORS_NAME, CONFIG_NAME, save_folder
from finegrain.tuning.bitfit import BitFit
from finegrain.tuning.ia3 import IA3
from finegrain.tuning.loha import LoHa
from finegrain.tuning.lokr import LoKr
from finegrain.tuning.lora import Lora

NAMES = ("wren", "Äsche", "<b>jay</b>")
IMAGES = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def build(name: str = "timm/test_vit", *, seed: int = 0) -> Classifier:
    torch.manual_seed(seed)
    return ModelConfig(name=name, image_size=64).build(num_classes=3).eval()


def build_for(classes: int, base_folder) -> Classifier:
    return ModelConfig(weights=str(base_folder)).build(num_classes=classes).eval()


def adapted(base: Classifier, tuning=None, *, seed: int = 1) -> Classifier:
    """With whatever is trained moved."""
    (tuning or Lora(rank=2)).apply(base)
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in base.trainable_parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    return base.eval()


@pytest.fixture
def base_folder(tmp_path):
    save_folder(build(), tmp_path / "base", class_names=("a", "b", "c"))
    return tmp_path / "base"


def test_vit_tiny_with_a_hundred_classes_takes_little_room(tmp_path):
    torch.manual_seed(0)
    classifier = ModelConfig(name="timm/vit_tiny_patch16_224").build(num_classes=100)
    Lora(rank=8).apply(classifier)
    save_adapter(classifier, tmp_path, class_names=[str(number) for number in range(100)], weights="augreg_in1k")
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= 600_000


def test_an_adapter_is_weights_like_any_other(tmp_path, base_folder):
    classifier = adapted(build_for(3, base_folder))
    folder = tmp_path / "adapter"
    save_adapter(classifier, folder, class_names=NAMES, weights=str(base_folder))
    for weights in (folder, folder / ADAPTER_TENSORS_NAME):
        again = ModelConfig(weights=str(weights)).build(num_classes=3).eval()
        torch.testing.assert_close(again(IMAGES), classifier(IMAGES), rtol=1e-5, atol=1e-6)
        assert again.preprocessing == classifier.preprocessing
        assert again.adapter is None
    other = ModelConfig(weights=str(folder)).build(num_classes=7).eval()
    torch.testing.assert_close(other.forward_features(IMAGES), classifier.forward_features(IMAGES))


@pytest.mark.parametrize("name", ["test_vit", "test_resnet"])
@pytest.mark.parametrize(
    "tuning", [Lora(rank=2, rslora=True, dora=True), IA3(), LoHa(), LoKr()], ids=lambda tuning: type(tuning).__name__
)
def test_peft_itself_loads_an_adapter_for_timm(name, tuning, tmp_path):
    import peft

    base = build(f"timm/{name}")
    classifier = adapted(build(f"timm/{name}"), tuning)
    save_adapter(classifier, tmp_path, class_names=NAMES, weights=None)
    network = timm.create_model(name, num_classes=3, **({"img_size": 64} if name == "test_vit" else {}))
    network.load_state_dict(base.network.state_dict())
    loaded = peft.PeftModel.from_pretrained(network, tmp_path).eval()
    torch.testing.assert_close(loaded(IMAGES), classifier(IMAGES))


def test_adapters_share_one_backbone(tmp_path, base_folder):
    birds, cars = adapted(build_for(3, base_folder)), adapted(build_for(5, base_folder), BitFit(), seed=2)
    save_adapter(birds, tmp_path / "birds", class_names=NAMES, weights=None)
    save_adapter(cars, tmp_path / "cars", class_names=tuple("abcde"), weights=None)
    base = build_for(7, base_folder)
    before = base(IMAGES)
    shared = SharedBackbone(base)
    shared.add("birds", tmp_path / "birds")
    shared.add("cars", tmp_path / "cars")
    for name, classifier in (("birds", birds), ("cars", cars), ("birds", birds)):
        assert torch.equal(shared[name].eval()(IMAGES), classifier(IMAGES))
    assert torch.equal(base(IMAGES), before)
    weight = "network.blocks.0.mlp.fc1.weight"
    pointers = {m.get_parameter(weight).data_ptr() for m in (base, shared["birds"], shared["cars"])}
    assert len(pointers) == 1
    shared["birds"].merged()
    assert torch.equal(base(IMAGES), before)
    with pytest.raises(WeightsError, match="two adapters of one name: got birds"):
        shared.add("birds", tmp_path / "cars")
    with pytest.raises(WeightsError, match="no such adapter: got pets; expected birds, cars"):
        shared["pets"]


def test_an_adapter_of_another_base_is_refused(tmp_path, base_folder):
    save_adapter(adapted(build()), tmp_path / "adapter", class_names=NAMES, weights="the/first")
    load_adapter(tmp_path / "adapter", build())
    others = [
        build(seed=3),
        build("timm/test_resnet"),
        ModelConfig(name="timm/test_vit", image_size=96).build(num_classes=3),
    ]
    for other in others:
        with pytest.raises(WeightsError, match=r"an adapter for other weights: got .*; give it those of the/first"):
            load_adapter(tmp_path / "adapter", other)
    with pytest.raises(WeightsError, match="holds no adapter"):
        load_adapter(base_folder, build())


def test_a_base_that_has_gone_is_named(tmp_path, base_folder):
    classifier = adapted(build_for(3, base_folder))
    save_adapter(classifier, tmp_path / "adapter", class_names=NAMES, weights=str(base_folder))
    shutil.rmtree(base_folder)
    with pytest.raises(WeightsError, match=f"no weights file here: got {base_folder}"):
        ModelConfig(weights=str(tmp_path / "adapter")).build(num_classes=3)


def change(file, **fields):
    file.write_text(json.dumps({**json.loads(file.read_text()), **fields}))


def sign(folder):
    """Write the digests of what lies there, as whoever changes a folder on purpose can do."""
    config = json.loads((folder / CONFIG_NAME).read_text())
    base = config["base"] | {"adapter_sha256": digest(folder / ADAPTER_CONFIG_NAME)}
    change(folder / CONFIG_NAME, sha256=digest(folder / ADAPTER_TENSORS_NAME), base=base)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"peft_type": "CORDA"}, "CORDA"),
        ({"peft_type": ["LORA"]}, ""),
        ({"peft_type": "IA3"}, "IA3 with "),
        ({"init_lora_weights": "pissa"}, "LORA with .*init_lora_weights"),
        ({"target_modules": ["blocks.77.attn.qkv"]}, "Target modules .*77"),
        ({"target_modules": "(.*)*qkv"}, "Target modules"),
        ({"target_modules": ["blocks.0.norm1"]}, "Target module .*LayerNorm"),
        ({"target_modules": []}, ""),
        ({"target_modules": ["blocks.0.attn.qkv"]}, "unknown tensor .*lora_A"),
        ({"target_modules": 5}, ""),
        ({"use_dora": True}, "no tensor .*lora_magnitude_vector"),
        ({"r": 3}, "size mismatch"),
        ({"r": 10**12}, "size mismatch"),
        ({"r": 10**400}, ""),
        ({"r": "2"}, ""),
        ({"r": -1}, "positive"),
        ({"lora_alpha": "much"}, ""),
        ({"lora_dropout": 5}, ""),
    ],
    ids=str,
)
def test_what_a_folder_says_of_its_adapter_is_not_believed(fields, message, tmp_path):
    save_adapter(adapted(build()), tmp_path, class_names=NAMES, weights=None)
    change(tmp_path / ADAPTER_CONFIG_NAME, **fields)
    with pytest.raises(WeightsError, match=r"adapter_config\.json is damaged or was changed"):
        load_adapter(tmp_path, build())
    sign(tmp_path)
    with pytest.raises(WeightsError, match=rf"cannot be used: got .*{message}.*; expected an adapter"):
        load_adapter(tmp_path, build())


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"weights": 5}, "does not describe weights"),
        ({"sha256": 5}, "does not describe weights"),
        ({"more": 5}, "does not describe weights"),
        ({"sha256": "0" * 64}, "give it those of the/first"),
        ({"sha256": "0" * 64, "weights": None}, "they were random: use the whole network"),
    ],
    ids=str,
)
def test_what_a_folder_says_of_its_base_is_not_believed(fields, message, tmp_path):
    save_adapter(adapted(build()), tmp_path, class_names=NAMES, weights="the/first")
    base = json.loads((tmp_path / CONFIG_NAME).read_text())["base"]
    change(tmp_path / CONFIG_NAME, base=base | fields)
    with pytest.raises(WeightsError, match=message):
        load_adapter(tmp_path, build())


@pytest.mark.parametrize("part", ["", ADAPTER_TENSORS_NAME])
def test_an_adapter_cannot_be_its_own_base(part, tmp_path):
    save_adapter(adapted(build()), tmp_path, class_names=NAMES, weights=str(tmp_path / part))
    with pytest.raises(WeightsError, match=r"an adapter for itself: got .*; expected other weights"):
        ModelConfig(weights=str(tmp_path)).build(num_classes=3)


def test_a_chain_of_adapters_is_weights(tmp_path, base_folder):
    """Each is put on what the one before left, merged."""
    first = adapted(build_for(3, base_folder))
    save_adapter(first, tmp_path / "first", class_names=NAMES, weights=str(base_folder))
    second = adapted(build_for(3, tmp_path / "first"), IA3(), seed=2)
    save_adapter(second, tmp_path / "second", class_names=NAMES, weights=str(tmp_path / "first"))
    again = build_for(3, tmp_path / "second")
    torch.testing.assert_close(again(IMAGES), second(IMAGES), rtol=1e-5, atol=1e-6)
    assert (again(IMAGES) - first(IMAGES)).norm() > 1e-3 * first(IMAGES).norm()


def test_tensors_more_or_fewer_than_the_adapters_are_refused(tmp_path):
    save_adapter(adapted(build()), tmp_path, class_names=NAMES, weights=None)
    file = tmp_path / ADAPTER_TENSORS_NAME
    tensors = safetensors.torch.load_file(file)
    lost = min(name for name in tensors if "lora_B" in name)
    frozen = {"base_model.model.blocks.0.mlp.fc1.weight": torch.zeros(192, 64)}
    for content, message in (
        ({name: value for name, value in tensors.items() if name != lost}, f"got no tensor {lost}"),
        (tensors | {"x": torch.zeros(1)}, "got unknown tensor x"),
        (tensors | frozen, "for other weights"),
    ):
        safetensors.torch.save_file(content, file)
        with pytest.raises(WeightsError, match="damaged or was changed"):
            load_adapter(tmp_path, build())
        sign(tmp_path)
        with pytest.raises(WeightsError, match=message):
            load_adapter(tmp_path, build())


def test_a_damaged_adapter_is_refused(tmp_path):
    def fresh():
        shutil.rmtree(tmp_path / "adapter", ignore_errors=True)
        save_adapter(adapted(build()), tmp_path / "adapter", class_names=NAMES, weights=None)
        return tmp_path / "adapter"

    def refused(message):
        with pytest.raises(WeightsError, match=message):
            load_adapter(tmp_path / "adapter", build())

    (fresh() / ADAPTER_CONFIG_NAME).write_text("{}")
    sign(tmp_path / "adapter")
    refused("cannot be used: got unknown tensor .*lora_A")
    (fresh() / ADAPTER_CONFIG_NAME).write_text("[1")
    refused("cannot be used: got adapter_config.json")
    tensors = fresh() / ADAPTER_TENSORS_NAME
    tensors.write_bytes(tensors.read_bytes()[:-1] + b"\1")
    refused("damaged or was changed")
    change(fresh() / CONFIG_NAME, base={"weights": None})
    refused("does not describe weights")
    change(fresh() / CONFIG_NAME, label_names=["one", "two"])
    refused("cannot be used: got .*size mismatch")
