"""The loader benchmark's sides: the same images as normalised float batches; nothing is timed."""

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import Tensor

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
IMAGES, BATCH = 6, 4

pytestmark = pytest.mark.filterwarnings("ignore:The image decoding and encoding capabilities")


@pytest.fixture(scope="module")
def bench():
    """benchmarks/loader.py, whose folder is on the path when it is run as a script."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        import loader

        yield loader


@pytest.fixture(scope="module")
def sides(bench: ModuleType, tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("loader")
    bench.write_photographs(folder / "set", train=IMAGES)
    built = bench.sides(folder / "set", cache=folder / "cache", batch_size=BATCH)
    return {name: build() for name, build in built.items()}


def test_every_side_gives_all_images_as_float_batches(sides):
    for side in sides.values():
        assert [(images.shape, images.dtype) for images in side.batches()] == [
            ((4, 3, 224, 224), torch.float32),
            ((2, 3, 224, 224), torch.float32),
        ]
        assert side.epoch().images == IMAGES


def test_all_sides_normalise_and_jitter_alike(sides):
    """Over several epochs the colours of all are those of the same photographs; without `mean` they differ by 2."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # torchvision draws from torch's global state
        colours = {name: mean_and_deviation(side.batches() for _ in range(8)) for name, side in sides.items()}
    expected = np.mean(list(colours.values()), axis=0)
    for found in colours.values():
        assert np.abs(found - expected).max() < 0.3


def mean_and_deviation(epochs) -> np.ndarray:
    """Of each channel over all images, [2, 3]."""
    images: Tensor = torch.cat([batch for epoch in epochs for batch in epoch])
    return torch.stack([images.mean(dim=(0, 2, 3)), images.std(dim=(0, 2, 3))]).numpy()


def test_the_sides_that_are_cached_decode_nothing(sides, bench: ModuleType, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a file was decoded")

    monkeypatch.setattr("simplejpeg.decode_jpeg", refuse)
    for name in (bench.CACHED_LINEAR, bench.CACHED_ANTIALIASED):
        assert sides[name].epoch().images == IMAGES
    with pytest.raises(Exception, match="a file was decoded"):
        sides[bench.LINEAR].epoch()


def test_every_goal_is_of_a_side(bench: ModuleType, sides):
    assert set(bench.GOALS) < set(sides)
    assert bench.PEER in sides
