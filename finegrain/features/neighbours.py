"""The image of a class that is most like another image, by the cosine of their features."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from finegrain.data.base import Sample

MOST_COMPARED = 100
"""Of a larger class so many images are compared, evenly spread over its list: bounds the images to be computed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Neighbour:
    """The most similar image that there is."""

    sample: Sample
    cosine: float
    """Of the features, in [−1, 1]; 1 for the same picture."""
    among: int
    """How many images of the class were compared."""


def nearest(
    asked: Sequence[tuple[Sample, int]],
    pool: Sequence[Sample],
    *,
    see: Callable[[Sequence[Sample]], Tensor],
) -> list[Neighbour | None]:
    """For each image and class asked for, the most similar image of that class in the pool; None where there is none.

    Args:
        asked: Images, each with the index of a class; an image is never its own neighbour.
        pool: Where to look.
        see: Gives the features of images, [N, D]; called once, with those that matter alone.
    """
    if not asked:
        return []
    compared = {label: _some([s for s in pool if s.label == label]) for label in dict.fromkeys(c for _, c in asked)}
    samples = tuple(dict.fromkeys([*(s for s, _ in asked), *(s for some in compared.values() for s in some)]))
    rows = {sample: row for row, sample in enumerate(samples)}
    values = F.normalize(see(samples).float(), dim=1)

    def find(image: Sample, label: int) -> Neighbour | None:
        others = [sample for sample in compared[label] if sample.path != image.path]
        if not others:
            return None
        cosines = values[[rows[sample] for sample in others]] @ values[rows[image]]
        best = int(torch.argmax(cosines))
        return Neighbour(sample=others[best], cosine=min(float(cosines[best]), 1.0), among=len(others))

    return [find(image, label) for image, label in asked]


def _some(samples: Sequence[Sample]) -> list[Sample]:
    places = np.linspace(0, len(samples) - 1, min(len(samples), MOST_COMPARED)).round().astype(int)
    return [samples[place] for place in places]
