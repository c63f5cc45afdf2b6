"""Evaluation equals the weights' own transform, and augmentation does what its numbers say, on any shape."""

import pickle
import random
from dataclasses import replace
from typing import get_args

import albumentations as A
import cv2
import numpy as np
import pytest
import torch
from image_corpus import photo
from PIL import Image
from timm.data import create_transform
from torchvision.transforms import InterpolationMode, v2

from finegrain import config
from finegrain.data.pipelines import ColorJitter, Resize
from finegrain.data.transforms import PRESETS, AugmentConfig, Transform, Views, eval_transform, eval_views, normalize
from finegrain.errors import ConfigError
from finegrain.preprocessing import Preprocessing

IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
SMALL = Preprocessing(image_size=32, resize_size=40, interpolation="bicubic", **IMAGENET)
ODD_SHAPES = [(1, 1), (1, 5000), (20000, 1), (3, 2), (33, 31), (400, 90)]


def run(transform: Transform, pixels: np.ndarray, seed: int = 0) -> np.ndarray:
    transform.set_random_state(np.random.default_rng(seed), random.Random(seed))
    return transform(image=pixels)["image"]


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "nearest"])
@pytest.mark.parametrize("shape", [(64, 96), (97, 61), (40, 40), (20, 31), (33, 31)])
def test_evaluation_equals_torchvision_bit_by_bit(interpolation, shape):
    prep = Preprocessing(image_size=32, resize_size=40, interpolation=interpolation, **IMAGENET)
    mode = {"nearest": InterpolationMode.NEAREST}.get(interpolation, InterpolationMode(interpolation))
    reference = v2.Compose([v2.Resize(40, interpolation=mode), v2.CenterCrop(32)])
    expected = np.asarray(reference(Image.fromarray(photo(*shape))))
    assert np.array_equal(run(eval_transform(prep), photo(*shape)), expected)


def squares(prep: Preprocessing, views: str, pixels: np.ndarray) -> list[np.ndarray]:
    """The views of `pixels`, in their order."""
    shown = run(eval_transform(prep, eval_views(prep, views)), pixels)
    return np.split(shown, len(shown) // prep.image_size)


@pytest.mark.parametrize("shape", [(64, 64), (64, 97), (301, 140)])
def test_five_crops_are_torchvisions_of_the_central_square(shape):
    pixels = photo(*shape)
    centre = Image.fromarray(run(eval_transform(replace(SMALL, image_size=40)), pixels))
    *corners, middle = v2.FiveCrop(32)(centre)
    found = squares(SMALL, "five_crop", pixels)
    assert len(found) == 5
    for ours, theirs in zip(found[1:], corners, strict=True):
        assert np.array_equal(ours, np.asarray(theirs))
    assert np.array_equal(found[0], run(eval_transform(SMALL), pixels))
    if shape[0] == shape[1]:
        assert np.array_equal(found[0], np.asarray(middle))


def test_five_crops_of_a_model_that_sees_all_are_of_a_larger_image():
    prep = replace(SMALL, image_size=35, resize_size=35)
    found, larger = squares(prep, "five_crop", photo()), replace(prep, resize_size=40)
    assert all(np.array_equal(a, b) for a, b in zip(found, squares(larger, "five_crop", photo()), strict=True))


def test_a_mirrored_view_is_the_mirrored_plain_one():
    plain, mirrored = squares(SMALL, "flip", photo())
    assert np.array_equal(plain, run(eval_transform(SMALL), photo()))
    assert np.array_equal(mirrored, plain[:, ::-1])


@pytest.mark.parametrize(("resize", "sizes"), [(40, [40, 35, 46]), (34, [34, 32, 39]), (32, [32, 37])])
def test_scales_are_those_of_other_resizes(resize: int, sizes: list[int]):
    prep = replace(SMALL, resize_size=resize)
    found = squares(prep, "multi_scale", photo())
    expected = [run(eval_transform(replace(prep, resize_size=size)), photo()) for size in sizes]
    assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("views", get_args(Views))
@pytest.mark.parametrize("shape", ODD_SHAPES)
def test_views_of_odd_shapes_are_whole(views, shape):
    assert {square.shape for square in squares(SMALL, views, photo(*shape))} == {(32, 32, 3)}


def test_evaluation_and_normalisation_equal_timm():
    reference = create_transform(32, interpolation="bicubic", crop_pct=0.8, **IMAGENET)
    expected = reference(Image.fromarray(photo()))
    images = torch.from_numpy(run(eval_transform(SMALL), photo())).permute(2, 0, 1)[None]
    assert torch.allclose(normalize(images, SMALL)[0], expected, atol=1e-6)


def test_normalize_by_hand():
    prep = Preprocessing(
        image_size=1, resize_size=1, interpolation="bicubic", mean=(0.5, 0.0, 1.0), std=(0.5, 1.0, 0.25)
    )
    images = torch.tensor([0, 51, 255], dtype=torch.uint8).view(1, 3, 1, 1)
    values = normalize(images, prep)
    assert values.dtype == torch.float32
    assert values.flatten().tolist() == pytest.approx([-1.0, 0.2, 0.0])
    assert images.flatten().tolist() == [0, 51, 255]


def test_normalize_is_the_same_to_the_bit_in_every_memory_layout():
    images = torch.from_numpy(np.stack([photo(31, 23), 255 - photo(31, 23)])).permute(0, 3, 1, 2)
    assert images.is_contiguous(memory_format=torch.channels_last)
    values = normalize(images, SMALL)
    assert values.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(values, normalize(images.contiguous(), SMALL))


@pytest.mark.parametrize("shape", ODD_SHAPES)
@pytest.mark.parametrize("crop", ["random_resized_crop", "resize_crop"])
@pytest.mark.parametrize("antialias", [True, False])
def test_any_shape_becomes_the_square(shape, crop, antialias):
    pixels = np.zeros((*shape, 3), dtype=np.uint8)
    pixels.flags.writeable = False
    settings = AugmentConfig(preset="strong", crop=crop, antialias=antialias)
    for transform in (eval_transform(SMALL), settings.train_transform(SMALL)):
        result = run(transform, pixels)
        assert result.shape == (32, 32, 3)
        assert result.dtype == np.uint8


@pytest.mark.parametrize("preset", ["none", *PRESETS])
def test_a_pipeline_is_a_function_of_the_generators(preset):
    transform = AugmentConfig(preset=preset).train_transform(SMALL)
    copy = pickle.loads(pickle.dumps(transform))
    first = [run(transform, photo(), seed) for seed in range(8)]
    again = [run(copy, photo(), seed) for seed in reversed(range(8))][::-1]
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert len({image.tobytes() for image in first}) == (1 if preset == "none" else 8)


def test_preset_none_is_evaluation():
    transform = AugmentConfig(preset="none").train_transform(SMALL)
    assert np.array_equal(run(transform, photo()), run(eval_transform(SMALL), photo()))


def test_steps_draw_independently():
    """Steps that share a seed would erase rectangles in mirrored images only."""
    halves = np.where(np.arange(64) < 32, 50, 200).astype(np.uint8)[None, :, None].repeat(64, axis=0).repeat(3, axis=2)
    settings = AugmentConfig(flip=0.5, coarse_dropout=0.5, min_scale=1.0)
    transform = settings.train_transform(SMALL)
    counts = np.zeros((2, 2), dtype=int)
    for seed in range(200):
        result = run(transform, halves, seed)
        mirrored = np.median(result[:, :16]) > 125
        erased = (result == (124, 116, 104)).all(axis=2).any()
        counts[int(mirrored), int(erased)] += 1
    assert counts.min() > 30


def test_flip_probability():
    for flip, expected in ((0.0, False), (1.0, True)):
        settings = AugmentConfig(crop="resize_crop", resize_size=32, flip=flip)
        result = run(settings.train_transform(SMALL), photo(32, 32))
        assert np.array_equal(result, photo(32, 32)[:, ::-1] if expected else photo(32, 32))


def test_resize_crop_keeps_the_scale():
    """A square of 32 of 40 is 0.8 of the short side: 51 of 64 pixels, whatever the place."""
    ramp = np.tile(np.arange(96, dtype=np.uint8)[None, :, None], (64, 1, 3))
    settings = AugmentConfig(crop="resize_crop", flip=0.0, preset="weak")
    spans = [np.ptp(run(settings.train_transform(SMALL), ramp, seed)[:, :, 0].astype(int)) for seed in range(10)]
    assert all(47 <= span <= 51 for span in spans)


def test_random_resized_crop_is_antialiased():
    """One-pixel stripes average to grey when shrunk threefold; OpenCV's linear filter keeps them."""
    stripes = np.tile(np.array([0, 255], dtype=np.uint8)[None, :, None], (96, 48, 3))
    settings = AugmentConfig(min_scale=1.0, flip=0.0)
    inner = run(settings.train_transform(SMALL), stripes)[4:-4, 4:-4].astype(int)
    assert np.abs(inner - 127).max() < 30


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("shape", [(300, 260), (97, 61), (40, 150)])
def test_the_antialiased_resize_is_pillows_to_a_level(interpolation, shape):
    image = photo(*shape)
    result = Resize(size=64, interpolation=interpolation, antialias=True)(image)
    expected = Image.fromarray(image).resize((64, 64), getattr(Image.Resampling, interpolation.upper()))
    assert np.abs(result.astype(int) - np.asarray(expected)).max() <= 1


def test_without_antialiasing_the_crop_is_the_librarys_to_the_bit():
    prep = Preprocessing(image_size=32, resize_size=40, interpolation="bilinear", **IMAGENET)
    ours = AugmentConfig(antialias=False, min_scale=0.08).train_transform(prep)
    library = A.RandomResizedCrop(size=(32, 32), scale=(0.08, 1.0), interpolation=cv2.INTER_LINEAR)
    theirs = A.Compose([library, A.HorizontalFlip(p=0.5)])
    for seed in range(20):
        assert np.array_equal(run(ours, photo(90, 70), seed), run(theirs, photo(90, 70), seed))


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2)])
@pytest.mark.parametrize("factors", [(0.8, 1.2, 1.3), (1.2, 0.7, 0.6), (1.1, 1.2, 0.0)])
def test_colour_jitter_is_torchvisions_three_steps_in_any_order(order, factors):
    """Where nothing clips; a level is the precision of OpenCV's colour matrix."""
    image = dull_photo()
    result = ColorJitter(1.0).apply(image, *factors)
    steps = (v2.functional.adjust_brightness, v2.functional.adjust_contrast, v2.functional.adjust_saturation)
    expected = torch.from_numpy(image).permute(2, 0, 1).double() / 255
    for step in order:
        expected = steps[step](expected, factors[step])
    assert 1 < 255 * expected.min() < 255 * expected.max() < 254
    assert np.abs(result - 255 * expected.permute(1, 2, 0).numpy()).max() <= 1


def test_colour_jitter_draws_what_the_library_draws():
    """It cuts off, not rounds, after each of its steps, and the next one may stretch the error."""
    library = A.ColorJitter(brightness=(0.75, 1.25), contrast=(0.75, 1.25), saturation=(0.75, 1.25), hue=(0, 0), p=1)
    for seed in range(50):
        ours, theirs = (run(A.Compose([step]), dull_photo(), seed) for step in (ColorJitter(0.25), library))
        assert np.abs(ours.astype(int) - theirs).max() <= 4


def dull_photo() -> np.ndarray:
    """Without the colours that a jitter would clip."""
    return (photo(64, 48) // 4 + 90).astype(np.uint8)


def test_colour_jitter_clips_once():
    """What one step would cut off and the next bring back is kept: halved after doubled is unchanged."""
    image = photo(64, 48)
    result = ColorJitter(1.0).apply(image, brightness=2.0, contrast=0.5, saturation=1.0)
    expected = image + image.astype(float).mean(axis=(0, 1)) @ [0.299, 0.587, 0.114]
    assert np.abs(result - np.clip(expected, 0, 255)).max() <= 1


def test_coarse_dropout_fills_with_the_mean():
    settings = AugmentConfig(coarse_dropout=1.0, flip=0.0)
    result = run(settings.train_transform(SMALL), np.zeros((64, 64, 3), dtype=np.uint8))
    assert {tuple(pixel) for pixel in result.reshape(-1, 3).tolist()} == {(0, 0, 0), (124, 116, 104)}


@pytest.mark.parametrize("settings", [{"mixup": 0.4}, {"cutmix": 1.0}, {"mixup": 0.4, "cutmix": 1.0}])
def test_mix(settings):
    mix = AugmentConfig(**settings).mix(5)
    images = torch.arange(4.0).view(4, 1, 1, 1).expand(4, 3, 16, 16)
    labels = torch.tensor([0, 1, 2, 3])
    before = torch.get_rng_state()
    mixed, targets = mix(images, labels, 7)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(mixed, mix(images, labels, 7)[0])
    assert not torch.equal(targets, mix(images, labels, 8)[1])
    assert targets.shape == (4, 5)
    assert torch.allclose(targets.sum(dim=1), torch.ones(4))
    shares = mixed.mean(dim=(1, 2, 3))
    assert torch.allclose(shares, targets[:, :4] @ torch.arange(4.0), atol=1e-5)


def test_mix_probability():
    assert AugmentConfig().mix(5) is None
    mix = AugmentConfig(mixup=1.0, mix_probability=0.25).mix(2)
    images, labels = torch.rand(2, 3, 2, 2), torch.tensor([0, 1])
    mixed = [not torch.equal(mix(images, labels, seed)[0], images) for seed in range(400)]
    assert 70 < sum(mixed) < 130
    untouched = next(seed for seed, changed in enumerate(mixed) if not changed)
    assert mix(images, labels, untouched)[1].tolist() == [[1, 0], [0, 1]]


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"preset": "none", "color_jitter": 0.2}, "augment.color_jitter"),
        ({"preset": "none", "min_scale": 0.2}, "augment.min_scale"),
        ({"crop": "resize_crop", "min_scale": 0.2}, "augment.min_scale"),
        ({"resize_size": 256}, "augment.resize_size"),
        ({"preset": "none", "antialias": False}, "augment.antialias"),
    ],
)
def test_settings_without_effect_are_refused(settings, key):
    (message,) = AugmentConfig(**settings).faults()
    assert message.startswith(f"{key} ")
    assert "expected" in message


@pytest.mark.parametrize(
    "settings", [{}, {"preset": "none"}, {"crop": "resize_crop", "resize_size": 256}, {"mixup": 1}]
)
def test_sound_settings_pass(settings):
    config.check(AugmentConfig(**settings))


def test_a_resize_below_the_crop_is_refused():
    prep = Preprocessing(image_size=64, resize_size=32, interpolation="bicubic", **IMAGENET)
    with pytest.raises(ConfigError, match="got 32; expected ≥ image_size, 64"):
        eval_transform(prep)
    with pytest.raises(ConfigError, match="got 16; expected ≥ image_size, 32"):
        AugmentConfig(crop="resize_crop", resize_size=16).train_transform(SMALL)


def test_training_images_may_be_smaller_than_evaluations():
    image = np.random.default_rng(0).integers(0, 256, (70, 90, 3), np.uint8)
    for preset in ("none", "weak"):
        transform = AugmentConfig(preset=preset, image_size=24).train_transform(SMALL)
        assert transform(image=image)["image"].shape == (24, 24, 3)
