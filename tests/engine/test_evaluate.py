import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from finegrain.data.base import Sample
from finegrain.data.feed import ImageFeed
from finegrain.data.loader import Loader
from finegrain.data.transforms import Views, eval_transform, eval_views, normalize
from finegrain.engine.evaluate import Predictions, predict
from finegrain.preprocessing import Preprocessing
from finegrain.runtime import Runtime

SMALL = Preprocessing(image_size=8, resize_size=9, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4), interpolation="bilinear")
CPU = Runtime(device=torch.device("cpu"), precision="fp32", channels_last=True, num_workers=0, deterministic=True)
COUNT, K = 7, 3


class Shades:
    """Images of one colour each, brighter by number."""

    def read(self, sample: Sample) -> NDArray[np.uint8]:
        return np.full((10, 12, 3), 30 * int(sample.path), dtype=np.uint8)


class Network(nn.Module):
    """Has all that evaluation must switch off or leave alone."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.norm, self.dropout, self.head = nn.BatchNorm2d(3), nn.Dropout(0.5), nn.Linear(3, K)
        self.batches: list[Tensor] = []

    def forward(self, images: Tensor) -> Tensor:
        self.batches.append(images.clone())
        return self.head(self.dropout(self.norm(images).mean(dim=(2, 3))))


def feed(batch_size: int = 3, runtime: Runtime = CPU) -> ImageFeed:
    samples = [Sample(path=f"{number}", label=number % K) for number in range(COUNT)]
    transform = eval_transform(SMALL)
    load = Loader(samples, source=Shades(), transform=transform, batch_size=batch_size, seed=0, train=False)
    return ImageFeed(load, preprocessing=SMALL, runtime=runtime)


def evaluated(model: nn.Module, *, batch_size: int = 3, runtime: Runtime = CPU) -> Predictions:
    return predict(model, feed(batch_size, runtime), runtime=runtime, title="")


def test_every_image_once_in_order() -> None:
    predictions = evaluated(Network())
    assert predictions.paths == tuple("0123456")
    assert predictions.labels.tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert predictions.probabilities.shape == (COUNT, K)


def test_probabilities_are_the_softmax_of_the_normalised_images_logits() -> None:
    model = Network().eval()
    shades = torch.arange(COUNT).mul(30).view(-1, 1, 1, 1).expand(-1, 3, 8, 8).to(torch.uint8)
    expected = model(normalize(shades, SMALL)).double().softmax(dim=1).detach().numpy()
    found = evaluated(model).probabilities
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    np.testing.assert_allclose(found.sum(axis=1), 1.0, rtol=1e-14)


@pytest.mark.parametrize("batch_size", [1, 2, 7, 100])
def test_the_batch_size_changes_nothing(batch_size: int) -> None:
    model = Network()
    np.testing.assert_allclose(evaluated(model, batch_size=batch_size).probabilities, evaluated(model).probabilities)


@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_left_as_it_was(training: bool) -> None:
    model = Network().train(training)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    random = torch.get_rng_state()
    first, second = evaluated(model), evaluated(model)
    assert model.training is model.norm.training is training
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert torch.equal(random, torch.get_rng_state())
    assert all(parameter.grad is None for parameter in model.parameters())
    np.testing.assert_array_equal(first.probabilities, second.probabilities)


def test_images_are_laid_out_as_the_runtime_says() -> None:
    for channels_last, layout in ((True, torch.channels_last), (False, torch.contiguous_format)):
        model = Network()
        runtime = Runtime(
            device=CPU.device, precision="fp32", channels_last=channels_last, num_workers=0, deterministic=True
        )
        evaluated(model, runtime=runtime)
        assert all(images.is_contiguous(memory_format=layout) for images in model.batches)


def test_mixed_precision_still_gives_double_probabilities() -> None:
    runtime = Runtime(device=CPU.device, precision="bf16", channels_last=True, num_workers=0, deterministic=True)
    model = Network()
    found = evaluated(model, runtime=runtime).probabilities
    assert found.dtype == np.float64
    np.testing.assert_allclose(found.sum(axis=1), 1.0, rtol=1e-14)
    np.testing.assert_allclose(found, evaluated(model).probabilities, atol=0.02)


def test_flipping_averages_the_softmax_of_both_views() -> None:
    class Lopsided(nn.Module):
        """Sees the left half only."""

        def forward(self, images: Tensor) -> Tensor:
            return images[..., :4].mean(dim=(2, 3))

    class Halves:
        """Bright on the left, dark on the right."""

        def read(self, sample: Sample) -> NDArray[np.uint8]:
            pixels = np.zeros((8, 8, 3), dtype=np.uint8)
            pixels[:, :4] = (200, 100, 20 * int(sample.path))
            return pixels

    plain = Preprocessing(image_size=8, resize_size=8, mean=(0, 0, 0), std=(1, 1, 1), interpolation="bilinear")
    samples = [Sample(path=f"{number}", label=0) for number in range(5)]

    def seen(views: Views) -> NDArray[np.float64]:
        transform = eval_transform(plain, eval_views(plain, views))
        load = Loader(samples, source=Halves(), transform=transform, batch_size=2, seed=0, train=False)
        feed = ImageFeed(load, preprocessing=plain, runtime=CPU)
        return predict(Lopsided(), feed, runtime=CPU, title="").probabilities

    once, both = seen("plain"), seen("flip")
    assert not np.allclose(once, 1 / 3)
    np.testing.assert_allclose(both, (once + 1 / 3) / 2, atol=1e-12)  # the mirror image is dark on the left
