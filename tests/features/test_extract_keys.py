"""Every change of content misses the cache, and nothing else does."""

import os
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from extraction import COUNT, Setting
from feature_set import runtime, shuffled
from torch import nn

from finegrain.data.array import ArraySource
from finegrain.data.base import Sample
from finegrain.data.image import FileSource
from finegrain.features import keys

# What a key depends on: each change of content misses


def flip_weight_bit(s: Setting) -> None:
    weight = s.classifier.network.layer1[0].conv1.weight.data
    weight.view(torch.int32).view(-1)[3] ^= 1


def flip_statistics_bit(s: Setting) -> None:
    s.classifier.network.bn1.running_var.view(torch.int32)[0] ^= 1


def rename_architecture(s: Setting) -> None:
    s.classifier.architecture = "timm/another"


def change_pooling(s: Setting) -> None:
    s.classifier.model_args["global_pool"] = "max"


def change_layer(s: Setting) -> None:
    s.classifier.head_name = "network.layer4"


def preprocessing(**changes: object):
    def change(s: Setting) -> None:
        s.classifier.preprocessing = replace(s.classifier.preprocessing, **changes)

    return change


def change_precision(s: Setting) -> None:
    s.runtime = runtime("bf16")


def change_layout(s: Setting) -> None:
    s.runtime = replace(s.runtime, channels_last=False)


def use_boxes(s: Setting) -> None:
    s.samples = [replace(sample, box=(1, 2, 30, 30)) for sample in s.samples]
    s.source = FileSource(s.source.root, s.source.max_pixels, box_margin=0.1)


CHANGES = {
    "weight bit": flip_weight_bit,
    "statistics bit": flip_statistics_bit,
    "model name": rename_architecture,
    "pooling": change_pooling,
    "layer": change_layer,
    "input size": preprocessing(image_size=48, resize_size=48),
    "crop": preprocessing(resize_size=40),
    "mean": preprocessing(mean=(0.5, 0.5, 0.4)),
    "std": preprocessing(std=(0.5, 0.5, 0.4)),
    "interpolation": preprocessing(interpolation="nearest"),
    "precision": change_precision,
    "layout": change_layout,
    "boxes": use_boxes,
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_of_content_misses(setting, name: str) -> None:
    setting.samples = setting.samples[:3]
    first = setting.extract()
    CHANGES[name](setting)
    second = setting.extract()
    assert (second.hits, second.misses) == (0, 3)
    assert (second.key == first.key) == (name == "boxes")


@pytest.mark.parametrize("package", [*keys._LIBRARIES, "opencv"])
def test_another_version_of_a_library_misses(setting, monkeypatch, package: str) -> None:
    key = keys.network_key(setting.classifier, setting.runtime)
    real = keys.version
    monkeypatch.setattr(keys, "version", lambda name: "0" if name == package else real(name))
    if package == "opencv":
        monkeypatch.setattr(keys.cv2, "__version__", "0")
    assert keys.network_key(setting.classifier, setting.runtime) != key


def test_a_library_that_is_not_there_has_no_version(setting, monkeypatch) -> None:
    monkeypatch.setattr(keys, "_LIBRARIES", ("no-such-package",))
    assert len(keys.network_key(setting.classifier, setting.runtime)) == 64


def test_other_bytes_of_the_same_size_and_time_miss(setting) -> None:
    setting.extract()
    file = setting.source.root / "3.png"
    status = file.stat()
    pixels = setting.source.read(setting.samples[3]).copy()
    for value in range(256):
        pixels[0, 0, 0] = value
        data = cv2.imencode(".png", pixels[:, :, ::-1])[1].tobytes()
        if len(data) == status.st_size and data != file.read_bytes():
            break
    file.write_bytes(data)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert file.stat().st_size == status.st_size
    setting.reopen()
    features = setting.extract()
    assert (features.hits, features.misses) == (COUNT - 1, 1)
    assert torch.equal(features.values, setting.uncached())


# ... and nothing else does


def relabel(s: Setting) -> None:
    s.samples = [replace(sample, label=9, split="val", group="g") for sample in s.samples]


def reorder(s: Setting) -> None:
    s.samples = shuffled(s.samples)


def rename(s: Setting) -> None:
    for sample in s.samples:
        (s.source.root / sample.path).rename(s.source.root / f"new_{sample.path}")
    s.samples = [Sample(path=f"new_{sample.path}", label=sample.label) for sample in s.samples]
    s.reopen()


def box_without_crop(s: Setting) -> None:
    s.samples = [replace(sample, box=(1, 2, 30, 30)) for sample in s.samples]


def another_head(s: Setting) -> None:
    nn.init.normal_(s.classifier.network.fc.weight)


def place(s: Setting) -> None:
    s.runtime.place_model(s.classifier.train())
    s.classifier.set_trainable(("network.fc",), boundary="network.fc")


def touch(s: Setting) -> None:
    for sample in s.samples:
        os.utime(s.source.root / sample.path, ns=(0, 5))
    s.reopen()


@pytest.mark.parametrize("change", [relabel, reorder, rename, box_without_crop, another_head, place, touch])
def test_what_is_no_content_hits(setting, change) -> None:
    setting.extract()
    change(setting)
    features = setting.extract()
    assert (features.hits, features.misses) == (COUNT, 0)
    assert torch.equal(features.values, setting.uncached())


def test_images_alike_are_computed_once(setting) -> None:
    (setting.source.root / "twin.png").write_bytes((setting.source.root / "0.png").read_bytes())
    setting.samples.append(Sample(path="twin.png", label=0))
    features = setting.extract()
    assert (features.hits, features.misses) == (0, COUNT)
    assert torch.equal(features.values[0], features.values[-1])


def test_pixels_in_memory_have_keys_too(setting) -> None:
    draw = np.random.default_rng(0)
    setting.source = ArraySource({"train": draw.integers(0, 256, (6, 32, 32), dtype=np.uint8)})
    setting.samples = [Sample(path=f"train/{number}", label=0) for number in range(6)]
    assert setting.extract().misses == 6
    setting.source.images["train"][2, 0, 0] ^= 1
    features = setting.extract()
    assert (features.hits, features.misses) == (5, 1)
