"""The benchmarks of the NumPy engine: all sides compute the same, LeNet learns; nothing is timed."""

import struct
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture(scope="module")
def benchmark():
    """benchmarks/mytorch.py, whose folder is on the path when it is run as a script."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        import mytorch

        yield mytorch


@pytest.fixture(scope="module")
def mnist():
    """benchmarks/mytorch_mnist.py."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        import mytorch_mnist

        yield mytorch_mnist


@pytest.mark.parametrize("layer", ["conv1", "conv2"])
def test_all_sides_compute_the_same_convolution(benchmark, layer):
    built = {name: build() for name, build in benchmark.sides(layer, batch_size=3, images=3).items()}
    ours = built[benchmark.OURS].go()
    assert len(built) == len(ours) == 4
    for name in built.keys() - {benchmark.OURS}:
        for one, other in zip(ours, built[name].go(), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-3)
    assert {side.epoch().images for side in built.values()} == {3}


def test_both_libraries_train_as_many_images(benchmark):
    built = benchmark.sides("lenet", batch_size=2, images=4)
    assert [build().epoch().images for build in built.values()] == [4, 4]


def write_idx(path, values):
    path.write_bytes(struct.pack(f">{1 + values.ndim}I", 0x0800 + values.ndim, *values.shape) + values.tobytes())


def test_lenet_learns_from_idx_files_and_is_judged_once_on_all_of_test(mnist, tmp_path, capsys):
    random = np.random.default_rng(0)
    classes = random.integers(0, 256, (10, 28, 28), dtype=np.uint8)
    for prefix, count in (("train", 1600), ("t10k", 50)):
        labels = (np.arange(count) % 10).astype(np.uint8)
        write_idx(tmp_path / f"{prefix}-images-idx3-ubyte", classes[labels])
        write_idx(tmp_path / f"{prefix}-labels-idx1-ubyte", labels)
    mnist.main([str(tmp_path), "--epochs", "2"])
    shown = capsys.readouterr().out
    assert shown.count("train loss") == 2
    assert "test top-1 100.00% (92.87%–100.00%), n = 50; 2 epochs in" in shown
