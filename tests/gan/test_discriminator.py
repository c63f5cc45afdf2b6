import math
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import parametrize

from finegrain import config
from finegrain.errors import ConfigError
from finegrain.gan.networks.class_loss import data_to_data
from finegrain.gan.networks.discriminator import Discriminator, DiscriminatorConfig

CONDITIONINGS = ("projection", "concat", "classifier", "reacgan")
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
def test_only_a_second_head_leaves_the_score_the_same_for_every_class(conditioning: str) -> None:
    judge = discriminator(conditioning=conditioning).eval()
    images = torch.randn(1, 3, 32, 32).expand(3, -1, -1, -1)
    whole, none = (judge(images, LABELS, condition=share).score for share in (1.0, 0.0))
    assert torch.allclose(whole[0], whole[1]) == (conditioning in ("classifier", "reacgan"))
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


@pytest.mark.parametrize("conditioning", CONDITIONINGS)
@pytest.mark.parametrize("normalisation", ["spectral", "none"])
def test_real_and_generated_images_in_one_pass_are_judged_as_in_two(conditioning: str, normalisation: str) -> None:
    judge = discriminator(conditioning=conditioning, normalisation=normalisation).eval()
    images = torch.randn(6, 3, 32, 32)
    pairs = zip(judge.compare(images, LABELS), (judge(half, LABELS) for half in images.chunk(2)), strict=True)
    for together, apart in pairs:
        torch.testing.assert_close(together.score, apart.score)
        assert (together.embedding is None) == (conditioning != "reacgan")
        for name in ("class_logits", "embedding", "class_embedding"):
            torch.testing.assert_close(getattr(together, name), getattr(apart, name))


def test_batch_norm_takes_each_sides_own_statistics_and_keeps_none() -> None:
    judge = discriminator(normalisation="batch", conditioning="concat")
    assert not list(judge.buffers())
    assert [type(norm) for norm in judge.norms] == [nn.Identity, nn.BatchNorm2d, nn.BatchNorm2d]
    real, fake = torch.randn(3, 3, 32, 32), 5 + torch.randn(3, 3, 32, 32)
    first, second = judge.compare(torch.cat([real, fake]), LABELS)
    torch.testing.assert_close(first.score, judge(real, LABELS).score)
    torch.testing.assert_close(second.score, judge.eval()(fake, LABELS).score)
    assert not torch.allclose(judge(torch.cat([real, fake]), LABELS.repeat(2)).score[:3], first.score)


def test_dcgans_first_weights_have_a_deviation_of_two_hundredths() -> None:
    judge = discriminator(normalisation="batch", width=16)
    assert judge.halvings[1].weight.std().item() == pytest.approx(0.02, rel=0.05)


def test_ac_gans_class_loss_is_the_cross_entropy_and_projection_has_none() -> None:
    judge, images = discriminator(conditioning="classifier", class_weight=0.5).eval(), torch.randn(3, 3, 32, 32)
    verdict = judge(images, LABELS)
    loss = judge.class_loss(verdict, LABELS)
    assert loss is not None
    torch.testing.assert_close(loss, 0.5 * functional.cross_entropy(verdict.class_logits, LABELS))
    plain = discriminator().eval()
    assert plain.class_loss(plain(images, LABELS), LABELS) is None


def test_reacgans_class_loss_is_of_unit_vectors() -> None:
    judge = discriminator(conditioning="reacgan", temperature=0.25, margin=0.9, class_weight=2.0).eval()
    verdict = judge(torch.randn(3, 3, 32, 32), LABELS)
    pair = verdict.embedding, verdict.class_embedding
    for rows in pair:
        torch.testing.assert_close(rows.norm(dim=1), torch.ones(3))
    loss = judge.class_loss(verdict, LABELS)
    torch.testing.assert_close(loss, 2 * data_to_data(*pair, LABELS, temperature=0.25, margin=0.9))


def unit(*degrees: float) -> torch.Tensor:
    angles = torch.deg2rad(torch.tensor(degrees))
    return torch.stack([angles.cos(), angles.sin()], dim=1)


def test_data_to_data_cross_entropy_by_hand() -> None:
    """Images at 0°, 60° and 90°, the first two of one class at 0°, the third of another at 90°; τ = 0.5, m = 0.9."""
    images, classes, labels = unit(0, 60, 90), unit(0, 0, 90), torch.tensor([0, 0, 1])
    near = [0.0, (0.5 - 0.9) / 0.5, 0.0]  # 1 is beyond the margin, 0.5 is short of it
    far = [[0.0], [(math.cos(math.pi / 6) - 0.1) / 0.5], [0.0, (math.cos(math.pi / 6) - 0.1) / 0.5]]
    terms = [math.log(math.exp(p) + sum(map(math.exp, n))) - p for p, n in zip(near, far, strict=True)]
    loss = data_to_data(images, classes, labels, temperature=0.5, margin=0.9)
    assert loss.item() == pytest.approx(sum(terms) / 3, rel=1e-5)


def test_easy_pairs_give_no_gradient_and_one_class_alone_no_loss() -> None:
    images = unit(0, 180).requires_grad_()
    loss = data_to_data(images, unit(0, 180), torch.tensor([0, 1]), temperature=0.5, margin=0.9)
    loss.backward()
    assert loss.item() == pytest.approx(math.log(2))
    assert images.grad is not None
    assert images.grad.abs().max() == 0
    same = data_to_data(unit(0, 50), unit(90, 90), torch.tensor([1, 1]), temperature=0.5, margin=0.9)
    assert same.item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    "settings", [{"class_weight": 2.0}, {"conditioning": "classifier", "margin": 0.5}, {"temperature": 1.0}]
)
def test_a_setting_without_effect_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"discriminator\.\w+ has no effect: got"):
        config.check(DiscriminatorConfig(**settings))
    config.check(DiscriminatorConfig(**{**settings, "conditioning": "reacgan"}))
