import json

import pytest
import timm
import torch

from finegrain.errors import OutputError, WeightsError
from finegrain.models.backbone import preprocessing_of
from finegrain.models.config import ModelConfig
from finegrain.models.weights import CONFIG_NAME, TENSORS_NAME, load_folder, read_folder, save_folder

NAMES = ("wren", "Äsche", "<b>jay</b>")


def build(name: str, **fields):
    torch.manual_seed(2)
    return ModelConfig(name=name, image_size=64, **fields).build(num_classes=len(NAMES)).eval()


@pytest.mark.parametrize(
    "name", ["timm/test_vit", "timm/test_resnet", "timm/mobilenetv2_035", "torchvision/resnet18", "timm/test_convnext"]
)
def test_a_saved_folder_builds_the_same_classifier(tmp_path, name):
    classifier = build(name, dropout=0.3)
    save_folder(classifier, tmp_path / "best", class_names=NAMES, extra={"epoch": 3})
    loaded, class_names = load_folder(tmp_path / "best")
    images = torch.randn(2, 3, 64, 64)
    assert class_names == NAMES
    assert loaded.architecture == classifier.architecture
    assert loaded.preprocessing == classifier.preprocessing
    assert torch.equal(loaded.eval()(images), classifier(images))
    config = json.loads((tmp_path / "best" / CONFIG_NAME).read_text())
    assert config["extra"] == {"epoch": 3}
    assert config["num_features"] == classifier.forward_features(images).shape[1]


@pytest.mark.parametrize("name", ["timm/test_vit", "timm/mobilenetv2_035", "timm/test_resnet"])
def test_plain_timm_loads_a_saved_folder(tmp_path, name):
    classifier = build(name)
    save_folder(classifier, tmp_path, class_names=NAMES)
    network = timm.create_model(f"local-dir:{tmp_path}", pretrained=True).eval()
    images = torch.randn(2, 3, 64, 64)
    assert torch.equal(network(images), classifier(images))
    data = timm.data.resolve_data_config(model=network)
    assert tuple(data["input_size"]) == (3, 64, 64)
    assert tuple(data["mean"]) == classifier.preprocessing.mean
    assert network.pretrained_cfg["label_names"] == list(NAMES)


def test_a_folder_is_pretrained_weights_for_other_classes(tmp_path):
    classifier = build("timm/test_resnet")
    save_folder(classifier, tmp_path, class_names=NAMES)
    for weights in (tmp_path, tmp_path / TENSORS_NAME):
        for name in ("", "test_resnet", "timm/test_resnet"):
            new = ModelConfig(name=name, weights=str(weights)).build(num_classes=9)
            assert new.preprocessing == classifier.preprocessing
            assert new.pretrained == str(tmp_path / TENSORS_NAME)
            assert torch.equal(new.network.conv1[0].weight, classifier.network.conv1[0].weight)


def test_model_args_of_a_folder_are_kept(tmp_path):
    classifier = build("timm/mobilenetv2_035")
    save_folder(classifier, tmp_path, class_names=NAMES)
    config = json.loads((tmp_path / CONFIG_NAME).read_text())
    config["model_args"] = {"pad_type": "same"}
    (tmp_path / CONFIG_NAME).write_text(json.dumps(config))
    loaded, _ = load_folder(tmp_path)
    assert type(loaded.network.conv_stem).__name__ == "Conv2dSame"
    save_folder(loaded, tmp_path / "again", class_names=NAMES)
    assert read_folder(tmp_path / "again").model_args == {"pad_type": "same"}


def test_resize_survives_the_detour_over_crop_pct():
    for resize in range(224, 640):
        assert preprocessing_of({"input_size": (3, 224, 224), "crop_pct": 224 / resize}).resize_size == resize


def test_an_output_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"room for .* bytes"):
        save_folder(build("timm/test_resnet"), tmp_path / "file" / "best", class_names=NAMES)


@pytest.fixture
def folder(tmp_path):
    save_folder(build("timm/test_resnet"), tmp_path, class_names=NAMES)
    return tmp_path


def change(folder, **fields) -> None:
    config = json.loads((folder / CONFIG_NAME).read_text()) | fields
    (folder / CONFIG_NAME).write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"label_names": ["a", "b"]}, "another shape"),
        ({"label_names": ["a", "b", "b"]}, "names no classes"),
        ({"label_names": None}, "names no classes"),
        ({"sha256": "0" * 64}, "damaged or was changed"),
        ({"architecture": "test_vit"}, "not this network's"),
        ({"architecture": "tset_resnet"}, "did you mean timm/test_resnet"),
        ({"model_args": {"checkpoint_path": "evil.pth"}}, "forbidden model_args"),
        ({"model_args": {"no_such": 1}}, "cannot be built"),
        ({"pretrained_cfg": {"mean": [0.5]}}, "preprocessing cannot be used"),
        ({"pretrained_cfg": {"std": [0.2, 0.2, 0.0]}}, "preprocessing cannot be used"),
        ({"pretrained_cfg": {"interpolation": "lanczos"}}, "preprocessing cannot be used"),
        ({"pretrained_cfg": 3}, "does not describe weights"),
    ],
)
def test_a_folder_that_does_not_fit_is_refused(folder, fields, message):
    change(folder, **fields)
    with pytest.raises(WeightsError, match=message):
        load_folder(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"num_classes": 3}'])
def test_a_broken_config_is_refused(folder, text):
    (folder / CONFIG_NAME).write_text(text)
    with pytest.raises(WeightsError, match="does not describe weights"):
        load_folder(folder)


def test_missing_files_are_named(folder):
    (folder / TENSORS_NAME).unlink()
    with pytest.raises(WeightsError, match=r"model\.safetensors, nothing"):
        load_folder(folder)
    (folder / CONFIG_NAME).unlink()
    with pytest.raises(WeightsError, match=r"config\.json does not describe"):
        load_folder(folder)


@pytest.mark.parametrize("name", ["timm/mobilenetv2_035", "timm/test_vit", "timm/test_resnet"])
def test_a_new_head_starts_no_farther_out_than_its_features_are_wide(tmp_path, name):
    """timm's MobileNet starts the farther out the fewer the classes."""
    save_folder(build(name), tmp_path, class_names=NAMES)
    torch.manual_seed(0)
    fresh = ModelConfig(weights=str(tmp_path), image_size=64).build(num_classes=2)
    weight = fresh.get_submodule(fresh.head_name).weight
    assert weight.std() <= 1.001 * weight.shape[1] ** -0.5
