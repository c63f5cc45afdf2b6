"""Every content change misses the cache, nothing else does, and cached features equal computed ones to the bit."""

import copy
import logging
import os
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from feature_set import classifier, images, runtime, shuffled
from torch import nn
from torch.nn.functional import cosine_similarity

from finegrain.data.array import ArraySource
from finegrain.data.base import Sample
from finegrain.data.image import FileSource
from finegrain.data.transforms import AugmentConfig, eval_transform
from finegrain.errors import DataError, NumericsError
from finegrain.features import extract as module
from finegrain.features import inference, keys
from finegrain.features.cache import FeatureCache
from finegrain.features.extract import Features, extract
from finegrain.features.inference import frozen
from finegrain.features.views import Drawn, Plain, evaluation_views

COUNT = 10


class Setting:
    """One extraction; a test changes a part of it and extracts again."""

    def __init__(self, folder) -> None:
        self.samples, self.source = images(folder / "set", COUNT)
        self.classifier = classifier()
        self.runtime = runtime()
        self.cache: FeatureCache | None = FeatureCache(folder / "cache")
        self.options: dict = {"batch_size": 4}

    def extract(self) -> Features:
        return extract(
            self.samples,
            source=self.source,
            classifier=self.classifier,
            runtime=self.runtime,
            cache=self.cache,
            **self.options,
        )

    def uncached(self) -> torch.Tensor:
        cache, self.cache = self.cache, None
        values = self.extract().values
        self.cache = cache
        return values

    def reopen(self) -> None:
        """As another process would find it: the source has seen no file yet."""
        self.source = FileSource(self.source.root, self.source.max_pixels, self.source.box_margin)


@pytest.fixture
def setting(tmp_path) -> Setting:
    return Setting(tmp_path)


def no_network(*_: object, **__: object) -> None:
    raise AssertionError("the network was asked for")


# What is computed


def test_features_are_what_the_head_reads(setting) -> None:
    features = setting.extract()
    found = features.values
    assert found.dtype == torch.float32
    assert (features.hits, features.misses) == (0, COUNT)
    logits = setting.classifier.network.fc(found)
    model = setting.classifier.eval()
    for row, sample in enumerate(setting.samples):
        pixels = eval_transform(model.preprocessing)(image=setting.source.read(sample))["image"]
        image = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None]
        with torch.no_grad():
            expected = model(module.normalize(image, model.preprocessing))[0]
        torch.testing.assert_close(logits[row], expected, rtol=1e-4, atol=1e-4)


def test_bf16_is_stored_as_float16_and_is_close(setting) -> None:
    exact = setting.extract().values
    setting.runtime = runtime("bf16")
    features = setting.extract()
    assert features.values.dtype == torch.float16
    assert features.misses == COUNT
    assert cosine_similarity(features.values.float(), exact).min() >= 0.999


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_cached_equals_uncached_to_the_bit(setting, monkeypatch, precision) -> None:
    setting.runtime = runtime(precision)
    expected = setting.uncached()
    setting.samples, everything = setting.samples[:7], setting.samples
    setting.extract()
    setting.samples = everything
    features = setting.extract()
    assert (features.hits, features.misses) == (7, 3)
    assert torch.equal(features.values, expected)
    monkeypatch.setattr(inference, "frozen", no_network)
    again = setting.extract()
    assert (again.hits, again.misses, again.key) == (COUNT, 0, features.key)
    assert again.stored_bytes == features.stored_bytes > expected.nbytes
    assert torch.equal(again.values, expected)


def test_worker_processes_change_nothing(setting) -> None:
    expected = setting.uncached()
    setting.runtime = runtime(num_workers=1)
    assert torch.equal(setting.extract().values, expected)


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


# Views


def drawn(*numbers: int, seed: int = 7, **changes) -> list:
    augment = AugmentConfig(preset="strong", **changes)
    return [Plain(), *(Drawn(augment=augment, seed=seed, number=number) for number in numbers)]


def test_further_views_are_augmented_and_cached(setting, monkeypatch) -> None:
    plain = setting.extract().values
    setting.options["views"] = drawn(1, 2)
    features = setting.extract()
    assert (features.hits, features.misses) == (COUNT, 2 * COUNT)
    assert features.values.shape == (COUNT, 3, plain.shape[1])
    assert torch.equal(features.values[:, 0], plain)
    assert not torch.equal(features.values[:, 1], features.values[:, 2])
    expected = setting.uncached()
    assert torch.equal(features.values, expected)
    assert torch.equal(features.take([4, 2], 1), expected[[4, 2], 1])
    setting.options["views"] = drawn(1)
    setting.samples = setting.samples[::-1]
    monkeypatch.setattr(inference, "frozen", no_network)
    assert torch.equal(setting.extract().values, expected.flip(0)[:, :2])


@pytest.mark.parametrize("change", [{"seed": 8}, {"flip": 0.4}])
def test_other_draws_are_other_views(setting, change) -> None:
    setting.samples = setting.samples[:3]
    setting.options["views"] = drawn(1)
    setting.extract()
    setting.options["views"] = drawn(1, **change)
    features = setting.extract()
    assert (features.hits, features.misses) == (3, 3)


def test_the_mirrored_view_is_of_the_mirrored_image(setting) -> None:
    setting.options["views"] = evaluation_views(setting.classifier.preprocessing, "flip")
    plain, mirrored = setting.extract().values.unbind(1)
    assert not torch.allclose(plain, mirrored, rtol=1e-2)
    model = setting.classifier.eval()
    for row, sample in enumerate(setting.samples):
        pixels = eval_transform(model.preprocessing)(image=setting.source.read(sample))["image"]
        image = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None]
        with torch.no_grad():
            expected = model.forward_features(module.normalize(image, model.preprocessing).flip(3))[0]
        torch.testing.assert_close(mirrored[row], expected, rtol=1e-4, atol=1e-4)


# What cannot be


def test_no_images_are_refused(setting) -> None:
    setting.samples = []
    with pytest.raises(DataError, match="no images to extract from"):
        setting.extract()


def test_a_deleted_image_is_named_although_it_is_cached(setting) -> None:
    setting.extract()
    (setting.source.root / "3.png").unlink()
    with pytest.raises(DataError, match=r"3\.png cannot be read as an image: got No such file"):
        setting.extract()


def test_a_damaged_image_leaves_no_row(setting) -> None:
    (setting.source.root / "9.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"9\.png cannot be read"):
        setting.extract()
    setting.samples = setting.samples[:9]
    setting.reopen()
    assert setting.extract().misses == 9


@pytest.mark.parametrize(("precision", "factor"), [("bf16", 1e6), ("fp32", float("nan"))])
def test_features_beyond_their_format_are_refused(setting, monkeypatch, precision, factor: float) -> None:
    setting.runtime = runtime(precision)

    def scaled(*arguments, **options):
        backbone = frozen(*arguments, **options)
        network = copy.deepcopy(backbone.network)
        backbone.network = lambda pixels: network(pixels) * factor
        return backbone

    monkeypatch.setattr(inference, "frozen", scaled)
    with pytest.raises(NumericsError, match=r"features are not finite: got up to .*; expected at most"):
        setting.extract()


def test_one_message_tells_hits_misses_and_bytes(setting, caplog) -> None:
    with caplog.at_level(logging.INFO):
        setting.extract()
        setting.extract()
    first, second = (record.message for record in caplog.records if "from the cache" in record.message)
    assert first.startswith(f"features: 0 from the cache, {COUNT} computed; ")
    assert second.startswith(f"features: {COUNT} from the cache, 0 computed; ")
    assert second.endswith(f" bytes in {setting.cache.folder / keys.network_key(setting.classifier, runtime())}")


# Precision


def test_bf16_that_changes_the_features_is_left_out_and_that_is_remembered(setting, monkeypatch, caplog) -> None:
    caplog.set_level("INFO")
    exact = setting.extract()
    setting.runtime = runtime("bf16")
    monkeypatch.setattr(module, "LIKENESS", 1.1)
    found = setting.extract()
    assert "bf16 would change the features (cosine" in caplog.text
    assert (found.key, found.hits) == (exact.key, COUNT)
    caplog.clear()
    monkeypatch.setattr(inference, "frozen", no_network)
    assert setting.extract().key == exact.key
    assert "to fp32" not in caplog.text


def test_an_unreadable_note_is_measured_again(setting) -> None:
    setting.runtime = runtime("bf16")
    key = setting.extract().key
    note = setting.cache.folder / key / "likeness"
    note.write_text("ten")
    setting.cache = FeatureCache(setting.cache.folder)
    assert setting.extract().hits == COUNT
    assert float(note.read_text()) > 0.999
