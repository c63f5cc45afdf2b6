"""The bundled digits: the dataset's own figures, and what its splits become."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from finegrain.config import check
from finegrain.data import splits
from finegrain.data.digits import Digits


def test_the_table_is_scikit_learns_dataset():
    check(Digits())
    table = Digits().table()
    bunch = load_digits()
    assert [sample.label for sample in table.samples] == bunch.target.tolist()
    assert table.class_names == tuple("0123456789")
    assert len({sample.path for sample in table.samples}) == 1797
    for place in (0, 1000, 1796):
        pixels = table.source.read(table.samples[place])
        assert (pixels.shape, pixels.dtype) == ((8, 8, 3), np.uint8)
        np.testing.assert_array_equal(np.rint(pixels[:, :, 1] * (16 / 255)), bunch.images[place])


def test_ink_is_bright_and_black_is_nought():
    pixels = Digits().table()
    shown = np.stack([pixels.source.read(sample) for sample in pixels.samples[:100]])
    assert (shown.min(), shown.max()) == (0, 255)


@pytest.mark.parametrize("fractions", [{}, {"test_fraction": 0.5, "val_fraction": 0.3}])
def test_what_a_dry_run_is_told_is_what_is_carved(fractions):
    config = Digits(**fractions)
    data, sizes = splits.build(config, config.table()), config.sizes()
    for found, told in zip((data.train, data.val, data.test), (sizes.train, sizes.val, sizes.test), strict=True):
        assert abs(len(found) - told) <= 10
    assert sizes.train + sizes.val + sizes.test == 1797
    assert len(data.carved) == 2
    assert not any("official" in note for note in data.notes)
