"""Images as maps are made of them: the plain view, whatever else evaluation looks at."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from finegrain.data.transforms import eval_transform, normalize
from finegrain.preprocessing import Preprocessing
from finegrain.runtime import Runtime


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class PlainView:
    """The central squares of B images, for people and for the network."""

    pixels: Sequence[NDArray[np.uint8]]
    """B times RGB, uint8 [S, S, 3]."""
    images: Tensor
    """The same prepared, float32 [B, 3, S, S], on the device."""


def plain_view(
    photographs: Sequence[NDArray[np.uint8]], *, preprocessing: Preprocessing, runtime: Runtime
) -> PlainView:
    """See B photographs, uint8 [H, W, 3] of any sizes, as a model that expects `preprocessing` does."""
    transform = eval_transform(preprocessing)
    pixels = [transform(image=photograph)["image"] for photograph in photographs]
    stacked = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2)
    return PlainView(pixels=pixels, images=normalize(runtime.place_images(stacked), preprocessing))
