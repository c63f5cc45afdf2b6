"""What is computed, kept, shown in other views and refused; cached features equal computed ones to the bit."""

import copy
import logging

import pytest
import torch
from extraction import COUNT
from feature_set import runtime
from torch.nn.functional import cosine_similarity

from finegrain.data.transforms import AugmentConfig, eval_transform
from finegrain.errors import DataError, NumericsError
from finegrain.features import extract as module
from finegrain.features import inference, keys
from finegrain.features.cache import FeatureCache
from finegrain.features.inference import frozen
from finegrain.features.views import Drawn, Plain, evaluation_views


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
