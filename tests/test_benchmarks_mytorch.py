"""The benchmark of the NumPy engine: all sides compute the same; nothing is timed."""

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
