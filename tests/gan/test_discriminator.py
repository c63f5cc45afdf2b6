from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from finegrain.gan.networks.discriminator import Discriminator, DiscriminatorConfig

CONDITIONINGS = ("projection", "concat", "classifier")
LABELS = torch.tensor([0, 1, 2])


def discriminator(image_size: Any = 32, **settings: Any) -> Discriminator:
    torch.manual_seed(0)
    return DiscriminatorConfig(**{"width": 2, **settings}).build(image_size=image_size, num_classes=3)


@pytest.mark.parametrize("size", [32, 64, 128, 256])
@pytest.mark.parametrize("conditioning", CONDITIONINGS)
def test_every_size_and_conditioning_gives_a_score_an_image(size: int, conditioning: str) -> None:
    verdict = discriminator(size, conditioning=conditioning)(torch.randn(3, 3, size, size), LABELS)
    assert verdict.score.shape == (3,)
    assert verdict.score.dtype == torch.float32
    logits = verdict.class_logits
    assert (None if logits is None else logits.shape) == ((3, 3) if conditioning == "classifier" else None)


@pytest.mark.parametrize("conditioning", CONDITIONINGS)
def test_only_an_ac_gans_score_is_the_same_for_every_class(conditioning: str) -> None:
    judge = discriminator(conditioning=conditioning).eval()
    images = torch.randn(1, 3, 32, 32).expand(3, -1, -1, -1)
    whole, none = (judge(images, LABELS, condition=share).score for share in (1.0, 0.0))
    assert torch.allclose(whole[0], whole[1]) == (conditioning == "classifier")
    torch.testing.assert_close(none[0], none[1])


def test_the_projection_is_the_inner_product_with_the_classs_embedding() -> None:
    judge, images = discriminator().eval(), torch.randn(3, 3, 32, 32)
    features = images
    for halve in judge.halvings:
        features = torch.nn.functional.leaky_relu(halve(features), 0.2)
    features = features.sum(dim=(2, 3))
    wanted = judge.score(features)[:, 0] + (features * judge.embedding.weight[LABELS]).sum(dim=1)
    torch.testing.assert_close(judge(images, LABELS).score, wanted)


@pytest.mark.parametrize("conditioning", CONDITIONINGS)
def test_every_layer_has_spectral_norm_one(conditioning: str) -> None:
    judge, images = discriminator(conditioning=conditioning), torch.randn(3, 3, 32, 32)
    for _ in range(60):
        judge(images, LABELS)
    kinds = (nn.Conv2d, nn.Linear, nn.Embedding)
    layers = {name for name, module in judge.named_modules() if isinstance(module, kinds)}
    normalised = {name: module for name, module in judge.named_modules() if parametrize.is_parametrized(module)}
    assert layers == set(normalised)
    for name, module in normalised.items():
        assert torch.linalg.matrix_norm(module.weight.flatten(1), 2).item() == pytest.approx(1, abs=0.02), name


def test_in_eval_mode_nothing_moves_and_in_train_mode_the_power_iteration_does() -> None:
    judge, images = discriminator().eval(), torch.randn(3, 3, 32, 32)
    before = {name: tensor.clone() for name, tensor in judge.state_dict().items()}
    judge(images, LABELS)
    assert all(torch.equal(tensor, before[name]) for name, tensor in judge.state_dict().items())
    judge.train()(images, LABELS)
    moved = {name for name, tensor in judge.state_dict().items() if not torch.equal(tensor, before[name])}
    assert moved
    assert all(name.endswith(("._u", "._v")) for name in moved)


def test_mixed_precision_normalises_and_judges_in_full_precision() -> None:
    judge, images = discriminator(), torch.randn(3, 3, 32, 32)
    plain = judge.eval()(images, LABELS).score
    with torch.autocast("cpu", torch.bfloat16):
        verdict = judge(images, LABELS)
    assert verdict.score.dtype == torch.float32
    torch.testing.assert_close(verdict.score, plain, rtol=0.05, atol=0.02)
