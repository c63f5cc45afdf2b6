from dataclasses import replace
from typing import Any

import pytest
import torch
from small_gan import CPU, K, diffusion, feed

from finegrain import config
from finegrain.data.synthetic import SyntheticBirds
from finegrain.errors import ConfigError
from finegrain.gan.methods.denoising import DiffusionRecipe
from finegrain.gan.networks.denoiser import Denoiser, DenoiserConfig


def denoiser(image_size: Any = 32, **settings: Any) -> Denoiser:
    torch.manual_seed(0)
    return DenoiserConfig(**{"width": 4, "sampling_steps": 2, **settings}).build(image_size=image_size, num_classes=K)


@pytest.mark.parametrize(("size", "patch"), [(32, 1), (32, 4), (64, 2), (256, 4)])
def test_every_size_predicts_an_image(size: int, patch: int) -> None:
    made = denoiser(size, patch=patch)
    predicted = made(torch.randn(2, 3, size, size), torch.tensor([3, 900]), torch.tensor([0, K]))
    assert predicted.shape == (2, 3, size, size)
    assert predicted.dtype == torch.float32


def test_noisy_images_and_targets_are_those_of_the_papers() -> None:
    images, noise = torch.randn(2, 2, 3, 32, 32)
    levels = torch.tensor([0, 700])
    made = denoiser()
    kept = made.schedule.alphas_cumprod[levels].view(2, 1, 1, 1)
    noisy, velocity = made.add_noise(images, noise, levels)
    torch.testing.assert_close(noisy, kept.sqrt() * images + (1 - kept).sqrt() * noise)
    torch.testing.assert_close(velocity, kept.sqrt() * noise - (1 - kept).sqrt() * images)
    assert torch.equal(denoiser(prediction="epsilon").add_noise(images, noise, levels)[1], noise)
    assert made.schedule.alphas_cumprod[-1] < 1e-6


@pytest.mark.parametrize("prediction", ["v_prediction", "epsilon"])
def test_a_perfect_prediction_leads_back_to_the_image(prediction: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made, image = denoiser(prediction=prediction, sampling_steps=5, guidance=1.0).eval(), torch.rand(1, 3, 32, 32)

    def perfect(noisy: torch.Tensor, levels: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        kept = made.schedule.alphas_cumprod[levels].view(-1, 1, 1, 1)
        noise = (noisy - kept.sqrt() * image) / (1 - kept).sqrt()
        return noise if prediction == "epsilon" else kept.sqrt() * noise - (1 - kept).sqrt() * image

    monkeypatch.setattr(made, "forward", perfect)
    torch.testing.assert_close(made.sample([1], [3]), image, rtol=0, atol=1e-3)


@pytest.mark.parametrize(("guidance", "wanted"), [(1.0, {0}), (2.5, {0, K})])
def test_guidance_goes_beyond_the_prediction_for_any_class(guidance: float, wanted: set[int]) -> None:
    made = denoiser(guidance=guidance, sampling_steps=1).eval()
    asked: set[int] = set()
    made.register_forward_pre_hook(lambda module, inputs: asked.update(inputs[2].tolist()))
    image = made.sample([0], [5])
    assert asked == wanted
    noise, levels = made.noise([5]).view(1, 3, 32, 32), torch.tensor([999])
    with torch.no_grad():
        of_class, of_any = (made(noise, levels, torch.tensor([label])) for label in (0, K))
    kept = made.schedule.alphas_cumprod[999]
    velocity = of_any + guidance * (of_class - of_any)
    torch.testing.assert_close(
        image, (kept.sqrt() * noise - (1 - kept).sqrt() * velocity).clamp(-1, 1), atol=1e-4, rtol=0
    )


def test_a_sample_is_a_function_of_its_class_and_seed_alone() -> None:
    made = denoiser().eval()
    labels, seeds = [number % K for number in range(35)], list(range(100, 135))
    together = made.sample(labels, seeds)
    assert together.shape == (35, 3, 32, 32)
    assert together.abs().max() <= 1
    apart = [made.sample(labels[at : at + 20], seeds[at : at + 20]) for at in (0, 20)]
    assert torch.equal(torch.cat(apart), together)
    assert torch.equal(made.sample(labels[4:5], seeds[4:5])[0], together[4])
    assert not torch.equal(made.sample([2], [104])[0], together[4])
    assert not torch.equal(made.sample([0], [100], truncation=0.1)[0], together[0])


@pytest.mark.parametrize(("dropout", "wanted"), [(0.0, [0, 1, 2, 0]), (0.999999, [K] * 4)])
def test_a_step_shows_some_images_without_their_class(dropout: float, wanted: list[int]) -> None:
    method: Any = diffusion(label_dropout=dropout).method
    shown: list[Any] = []
    method.model.register_forward_pre_hook(lambda module, inputs: shown.append(inputs))
    method.step(iter([(torch.zeros(4, 3, 32, 32), torch.tensor([0, 1, 2, 0]))]), 0)
    ((noisy, levels, labels),) = shown
    assert labels.tolist() == wanted
    kept = method.model.schedule.alphas_cumprod[levels]
    # Of black images only noise is left, whose spread tells the level.
    torch.testing.assert_close(noisy.std(dim=(1, 2, 3)), (1 - kept).sqrt(), rtol=0.05, atol=0.01)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_training_lowers_the_error_and_keeps_weights_in_full_precision(precision: Any) -> None:
    trainer = diffusion(runtime=replace(CPU, precision=precision), steps=60, evaluate_steps=20, patience=None)
    trainer.fit(feed(4))
    errors = [row["mse"] for row in trainer.progress.history]
    assert errors[-1] < errors[0]
    method: Any = trainer.method
    assert {p.dtype for p in method.denoiser.network.parameters()} == {torch.float32}


def test_guidance_without_dropped_labels_is_refused() -> None:
    recipe = DiffusionRecipe(name="a", data=SyntheticBirds())
    recipe.train.label_dropout = 0.0
    with pytest.raises(ConfigError, match=r"denoiser.guidance: got 1.5; expected 1, as train.label_dropout is 0"):
        config.check(recipe)
    recipe.denoiser.guidance = 1.0
    config.check(recipe)


def test_levels_of_an_image_are_evenly_spaced() -> None:
    with pytest.raises(ConfigError, match=r"denoiser.sampling_steps: got 30; expected a number that divides 1000"):
        config.check(DenoiserConfig(sampling_steps=30))
    made = denoiser(sampling_steps=4)
    assert made.schedule.timesteps.tolist() == [999, 749, 499, 249]
