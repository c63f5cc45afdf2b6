"""Photograph-like JPEGs of about 500 pixels, drawn by the project itself: nothing to download."""

from pathlib import Path

import numpy as np
from PIL import Image

from finegrain.data.synthetic import SyntheticBirds

SIZE = (500, 375)
"""Width and height, CUB's most common ones."""
QUALITY = 90
GRAIN = 6.0
"""Standard deviation of the sensor noise: it brings a file to about 58 kB, as photographs of this size have."""
CLASSES = 4
_DRAWN = 512


def write_photographs(root: Path, *, train: int) -> float:
    """Write `train` JPEGs to `root`/train/<class>/, and one a class to val/ and test/; return their mean bytes."""
    generator = np.random.default_rng(0)
    birds = SyntheticBirds(image_size=_DRAWN, num_species=CLASSES, train_per_species=-(-train // CLASSES))
    birds.val_per_species = birds.test_per_species = 1
    birds.keep_drawn = False
    table = birds.table()
    in_turn = sorted(table.samples, key=lambda sample: Path(sample.path).name)
    kept = [s for s in in_turn if s.split == "train"][:train] + [s for s in in_turn if s.split != "train"]
    sizes = []
    for sample in kept:
        path = root / str(sample.split) / Path(sample.path).with_suffix(".jpg").relative_to("target")
        path.parent.mkdir(parents=True, exist_ok=True)
        left, top = (_DRAWN - SIZE[0]) // 2, (_DRAWN - SIZE[1]) // 2
        pixels = table.source.read(sample)[top : top + SIZE[1], left : left + SIZE[0]]
        noisy = np.clip(pixels + generator.normal(0, GRAIN, pixels.shape), 0, 255).astype(np.uint8)
        Image.fromarray(noisy).save(path, quality=QUALITY)
        sizes.append(path.stat().st_size)
    return float(np.mean(sizes))
