import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from small_gan import CPU, K, feed, vae
from torch.distributions import Normal, kl_divergence

from finegrain.gan.methods.variational import VaeRecipe, from_prior, gaussian_nats
from finegrain.gan.networks.encoder import EncoderConfig

LABELS = torch.tensor([0, 1, 2, 0])


@pytest.mark.parametrize("size", [32, 64, 128, 256])
def test_the_encoder_gives_two_numbers_of_each_of_the_noise_and_knows_the_class(size: Any) -> None:
    torch.manual_seed(0)
    encoder = EncoderConfig(width=2).build(image_size=size, num_classes=K, noise_dim=5).eval()
    images = torch.randn(1, 3, size, size).expand(4, -1, -1, -1)
    mean, log_variance = encoder(images, LABELS)
    assert mean.shape == log_variance.shape == (4, 5)
    torch.testing.assert_close(mean[0], mean[3])
    assert not torch.allclose(mean[0], mean[1])


@pytest.mark.parametrize("deviation", [0.3, None])
def test_the_reconstruction_is_the_likelihood_in_nats(deviation: float | None) -> None:
    torch.manual_seed(0)
    real, decoded = torch.randn(2, 500).double()
    error = (real - decoded).square().mean()
    sigma = error.sqrt() if deviation is None else torch.tensor(deviation).double()
    wanted = -Normal(decoded, sigma).log_prob(real).mean()
    torch.testing.assert_close(gaussian_nats(error, deviation), wanted)
    others = [gaussian_nats(error, float(error.sqrt()) * factor) for factor in (0.9, 1.1)]
    assert all(gaussian_nats(error, None) < other for other in others)


def test_the_divergence_is_that_of_the_normal_distributions() -> None:
    mean, log_variance = torch.randn(2, 4, 5)
    wanted = kl_divergence(Normal(mean, (log_variance / 2).exp()), Normal(0.0, 1.0)).sum(dim=1)
    torch.testing.assert_close(from_prior(mean, log_variance), wanted)
    assert from_prior(torch.zeros(1, 3), torch.zeros(1, 3)).item() == 0


def test_the_divergence_grows_to_its_weight_over_a_share_of_the_steps() -> None:
    method: Any = vae(steps=10, warmup_fraction=0.4, beta=2.0).method
    assert [method.beta(number) for number in range(6)] == [0, 0.5, 1, 1.5, 2, 2]
    assert vae(warmup_fraction=0.0).method.beta(0) == 1  # type: ignore[attr-defined]


@pytest.mark.parametrize("beta", [0.0, 2.0])
def test_a_step_descends_nats_per_value_and_moves_both_networks(beta: float) -> None:
    method: Any = vae(beta=beta, warmup_fraction=0.0, flip=0.0, deviation=0.5).method
    given: list[float] = []
    step = method.autoencoder.step
    method.autoencoder.step = lambda loss, **rest: [given.append(loss.item()), step(loss, **rest)][1]
    before = {name: tensor.clone() for name, tensor in method.autoencoder.network.named_parameters()}
    real = torch.rand(4, 3, 32, 32) * 2 - 1
    (watched,) = method.step(iter([(real, LABELS)]), 0)
    assert given[0] == pytest.approx((watched["reconstruction"] + beta * watched["divergence"]) / 3072, rel=1e-4)
    nats = math.log(2 * math.pi * 0.25) / 2 + watched["mse"] / 0.5
    assert watched["reconstruction"] == pytest.approx(3072 * nats, rel=1e-4)
    moved = {
        name.partition(".")[0]
        for name, tensor in method.autoencoder.network.named_parameters()
        if not torch.equal(tensor, before[name])
    }
    assert moved == {"encoder", "decoder"}


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_training_lowers_the_error_and_keeps_weights_in_full_precision(precision: Any) -> None:
    trainer = vae(runtime=replace(CPU, precision=precision), steps=40, evaluate_steps=10, patience=None)
    trainer.fit(feed(4))
    errors = [row["mse"] for row in trainer.progress.history]
    assert errors[-1] < errors[0]
    method: Any = trainer.method
    assert {p.dtype for p in method.autoencoder.network.parameters()} == {torch.float32}


def test_a_sample_is_decoded_from_the_prior_by_the_average() -> None:
    trainer = vae()
    trainer.fit(feed())
    decoder: Any = trainer.evaluated_model
    images = decoder.sample([0, 1], [5, 6], truncation=0.5)
    assert decoder.noise([5, 6], 0.5).abs().max() <= 0.5
    with torch.no_grad():
        torch.testing.assert_close(images, decoder(decoder.noise([5, 6], 0.5), torch.tensor([0, 1])))


def test_the_recipe_gives_decoder_and_encoder_the_same_noise() -> None:
    recipe = VaeRecipe(name="a", data=None, image_size=32)  # type: ignore[arg-type]
    recipe.generator.noise_dim = 7
    networks = recipe.networks(K)
    method = recipe.method(networks, CPU)
    assert method.model is networks["generator"]
    assert len(method.step(iter([(torch.zeros(4, 3, 32, 32), LABELS)]), 0)) == 1
