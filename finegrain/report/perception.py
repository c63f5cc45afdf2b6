"""Draw what a model looks for, as the page's template takes it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from finegrain.report.escape import one_line
from finegrain.report.gallery import data_uri, thumbnail
from finegrain.report.heat import attention_sheet, colours, overlay, png
from finegrain.report.kernels import MOST_KERNELS, kernels_png
from finegrain.report.perception_record import Attended, Perception, ReceptiveField


def perception(found: Perception, names: Sequence[str]) -> dict[str, Any]:
    """What `perception.html.jinja` shows.

    Args:
        found: What there is to draw.
        names: Of the classes, each on one line.
    """
    return {
        "kernels": None if found.kernels is None else data_uri(kernels_png(found.kernels)),
        "kernels_shown": MOST_KERNELS,
        "fields": [_field(field) for field in found.fields],
        "attended": [_attended(image, names) for image in found.attended],
        "unseen": one_line(found.unseen),
    }


def _field(field: ReceptiveField) -> dict[str, Any]:
    size = len(field.influence)
    return {
        "stage": one_line(field.stage),
        "cells": field.cells,
        "size": size,
        # The root, as most pixels of a large field are hundreds of times weaker than the strongest.
        "picture": data_uri(png(colours(np.sqrt(field.influence)))),
        "reach": field.reach,
        "core": field.core,
        "whole": field.reach == (0, 0, size, size),
    }


def _attended(image: Attended, names: Sequence[str]) -> dict[str, Any]:
    layers = {"first layer": image.first, "last layer": image.last}
    return {
        "path": one_line(image.path),
        "label": names[image.label],
        "predicted": names[image.predicted],
        "right": image.label == image.predicted,
        "probability": image.probability,
        "image": data_uri(thumbnail(image.pixels)),
        "layers": [
            (name, data_uri(thumbnail(overlay(image.pixels, _over(heads.mean(axis=0), len(image.pixels))))))
            for name, heads in layers.items()
        ],
        "heads": data_uri(png(attention_sheet(image.last[None]))),
    }


def _over(grid: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """A map [h, w] over an image of `size` pixels a side, from 0 to 1."""
    scaled = (grid - grid.min()) / max(float(np.ptp(grid)), 1e-12)
    return np.asarray(Image.fromarray(scaled).resize((size, size), Image.Resampling.NEAREST))
