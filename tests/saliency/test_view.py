"""The plain view: the same square for people and for the network."""

import numpy as np
import torch

from finegrain.preprocessing import Preprocessing
from finegrain.runtime import RuntimeConfig
from finegrain.saliency.view import plain_view


def test_it_is_the_central_square_and_the_same_prepared():
    wide = np.full((8, 12, 3), 255, np.uint8)
    wide[:, 4:8] = 51  # the centre
    tall = np.full((12, 8, 3), 255, np.uint8)
    tall[4:8] = 102
    preprocessing = Preprocessing(
        image_size=4, resize_size=8, mean=(0.2, 0.2, 0.2), std=(0.5, 0.5, 0.1), interpolation="bilinear"
    )
    runtime = RuntimeConfig(device="cpu", precision="fp32").build()
    view = plain_view([wide, tall], preprocessing=preprocessing, runtime=runtime)
    assert [(square.shape, np.unique(square).tolist()) for square in view.pixels] == [
        ((4, 4, 3), [51]),
        ((4, 4, 3), [102]),
    ]
    assert view.images.shape == (2, 3, 4, 4)
    torch.testing.assert_close(view.images[0], torch.zeros(3, 4, 4))
    torch.testing.assert_close(view.images[1, :, 2, 1], torch.tensor([0.4, 0.4, 2.0]))
