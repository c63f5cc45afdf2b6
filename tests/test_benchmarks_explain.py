"""benchmarks/explain.py: every side sees the same images, one gives gradients and the others maps; nothing is timed."""

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
COUNT, BATCH, SIDE = 3, 2, {"test_resnet": 64, "test_vit": 160}


@pytest.fixture(scope="module")
def bench():
    """benchmarks/explain.py, whose folder is on the path when it is run as a script."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        import explain

        yield explain


@pytest.mark.parametrize("model", SIDE)
def test_the_same_images_get_gradients_or_maps(bench: ModuleType, model: str):
    built = bench.sides(model, count=COUNT, batch_size=BATCH, image_size=SIDE[model])
    assert set(built) == {*bench.METHODS, bench.PLAIN}
    sides = {name: build() for name, build in built.items()}
    plain = sides.pop(bench.PLAIN)
    for side in sides.values():
        assert all(torch.equal(ours, theirs) for ours, theirs in zip(side.batches, plain.batches, strict=True))
    assert plain.epoch().images == COUNT
    assert all(parameter.grad is not None for parameter in plain.model.parameters())
    batch, pair = plain.batches[0], plain.pairs[0]
    shape = (BATCH, *batch.shape[2:])
    probabilities, page = sides[bench.PAGE].go(batch, *pair)
    torch.testing.assert_close(probabilities, plain.model(batch).softmax(dim=1))
    assert page.shape == (4, *shape)
    np.testing.assert_allclose(page[0], sides["hirescam"].go(batch, *pair), atol=1e-5)
    assert sides["gradcam"].go(batch, *pair).shape == shape
    assert all(parameter.grad is None for side in sides.values() for parameter in side.model.parameters())
