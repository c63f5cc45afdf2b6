import itertools
import math
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from finegrain import config
from finegrain.errors import ConfigError
from finegrain.gan.networks.generator import ConditionalNorm, Generator, GeneratorConfig, doubling

STYLES, CONDITIONINGS = ("upsample", "transposed"), ("norm", "concat", "embedding")
LABELS = torch.tensor([0, 1, 2])


def generator(image_size: Any = 32, **settings: Any) -> Generator:
    torch.manual_seed(0)
    made = GeneratorConfig(**{"width": 2, "noise_dim": 5, "embedding_dim": 128, **settings})
    return made.build(image_size=image_size, num_classes=3)


@pytest.mark.parametrize(
    ("size", "style", "conditioning"), itertools.product((32, 64, 128, 256), STYLES, CONDITIONINGS)
)
def test_every_size_style_and_conditioning_makes_images(size: int, style: str, conditioning: str) -> None:
    images = generator(size, style=style, conditioning=conditioning)(torch.randn(3, 5), LABELS)
    assert images.shape == (3, 3, size, size)
    assert images.dtype == torch.float32
    assert images.abs().max() <= 1
    assert images.std() > 0


@pytest.mark.parametrize("conditioning", CONDITIONINGS)
def test_an_image_depends_on_its_class_as_far_as_the_condition_goes(conditioning: str) -> None:
    made = generator(conditioning=conditioning, width=6).eval()
    noise = torch.randn(1, 5).expand(3, -1)
    whole, half, none = (made(noise, LABELS, condition=share) for share in (1.0, 0.5, 0.0))
    assert not torch.equal(whole[0], whole[1])
    assert not torch.equal(whole[0], half[0])
    torch.testing.assert_close(none[0], none[1], rtol=0, atol=1e-7)


def test_equal_embeddings_give_batch_norm_with_their_scale_and_shift() -> None:
    torch.manual_seed(0)
    norm, rows = ConditionalNorm(4, 6), torch.randn(5, 4, 3, 3)
    assert norm.scale is not None
    assert norm.shift is not None
    nn.init.normal_(norm.scale.bias)
    of_class = torch.randn(6)
    plain = nn.BatchNorm2d(4)
    with torch.no_grad():
        plain.weight.copy_(1 + norm.scale(of_class))
        plain.bias.copy_(norm.shift(of_class))
    torch.testing.assert_close(norm(rows, of_class.expand(5, -1)), plain(rows))
    assert torch.equal(norm.norm.running_var, plain.running_var)
    rows_of_two = norm(rows, torch.stack([of_class] * 3 + [-of_class] * 2))
    assert not torch.allclose(rows_of_two[3:], plain(rows)[3:])


def test_a_doubling_by_neighbours_is_a_convolution_of_the_doubled() -> None:
    torch.manual_seed(0)
    layer, rows = doubling(2, 3, "upsample").double(), torch.randn(2, 2, 4, 5, dtype=torch.float64, requires_grad=True)
    assert isinstance(layer, nn.Conv2d)
    inputs = (rows, layer.weight, layer.bias)
    doubled = rows.repeat_interleave(2, 2).repeat_interleave(2, 3)
    wanted, found = functional.conv2d(doubled, layer.weight, layer.bias, padding=1), layer(rows)
    torch.testing.assert_close(found, wanted)
    weights = torch.randn_like(wanted)
    gradients = (torch.autograd.grad((images * weights).sum(), inputs) for images in (found, wanted))
    torch.testing.assert_close(*gradients)
    assert set(layer.state_dict()) == {"weight", "bias"}


@pytest.mark.parametrize("style", STYLES)
def test_a_sample_is_a_function_of_its_class_and_seed_alone(style: str) -> None:
    made = generator(style=style, width=6)
    made(torch.randn(8, 5), torch.arange(8) % 3)  # statistics that are not those of the start
    made.eval()
    labels, seeds = [number % 3 for number in range(40)], list(range(100, 140))
    together = made.sample(labels, seeds)
    for size in (1, 7, 33):
        apart = [made.sample(labels[at : at + size], seeds[at : at + size]) for at in range(0, 40, size)]
        assert torch.equal(torch.cat(apart), together), size
    assert torch.equal(made.sample(labels[::-1], seeds[::-1]).flip(0), together)
    assert not torch.equal(together[0], together[3])


def test_noise_is_standard_normal_and_of_its_seed() -> None:
    noise = generator(noise_dim=500).noise([1, 2, 1])
    assert torch.equal(noise[0], noise[2])
    assert not torch.equal(noise[0], noise[1])
    assert abs(noise[0].mean()) < 0.2
    assert abs(noise[0].std() - 1) < 0.15


@pytest.mark.parametrize("bound", [1e-9, 0.5, 2.0])
def test_truncated_noise_is_normal_within_its_bound(bound: float) -> None:
    made = generator(noise_dim=4000)
    noise = made.noise([1, 2, 1], bound)
    assert torch.equal(noise[0], noise[2])
    assert not torch.equal(noise[0], noise[1])
    assert noise.abs().max() <= bound
    # The variance of a normal variable between −t and t is 1 − 2 t φ(t) / (2 Φ(t) − 1).
    density, inside = math.exp(-(bound**2) / 2) / math.sqrt(2 * math.pi), math.erf(bound / math.sqrt(2))
    if bound > 1e-3:
        assert noise.std() == pytest.approx(math.sqrt(1 - 2 * bound * density / inside), rel=0.03)


def test_a_setting_without_effect_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"embedding_dim has no effect: got 7; expected 128"):
        config.check(GeneratorConfig(conditioning="embedding", embedding_dim=7))
    config.check(GeneratorConfig(conditioning="concat", embedding_dim=7))
