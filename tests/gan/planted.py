"""Real and generated images whose features are drawn from known distributions: what is to be found out is known."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from small_gan import Noise

from finegrain.data.base import Data, Sample
from finegrain.data.generated import Generated
from finegrain.gan.judged import Images, Judged, JudgedVersion
from finegrain.metrics.feature_sets import Extractor

K, D = 4, 8
NETWORK = Extractor(name="planted", sha256="ab" * 32)
SOURCE = Noise()
"""The pixels of every image are a function of its path."""

Rows = NDArray[np.float64]


def features(labels: NDArray[np.int64], *, seed: int) -> Rows:
    """Of real images [N, D]: N(centre of the class, 1), the centres about 2 apart, so that classes overlap."""
    centres = np.random.default_rng(0).normal(0, 0.75, (K, D))
    return centres[labels] + np.random.default_rng(seed + 1).normal(0, 1, (len(labels), D))


def images(prefix: str, labels: NDArray[np.int64], rows: Rows) -> Images:
    samples = tuple(Sample(path=f"{prefix}/{n:04d}.png", label=int(label)) for n, label in enumerate(labels))
    return Images(samples=samples, source=SOURCE, features=rows.astype(np.float32))


def real(prefix: str, per_class: int, *, seed: int) -> Images:
    labels = np.repeat(np.arange(K), per_class)
    return images(prefix, labels, features(labels, seed=seed))


def version(name: str, shown: Images) -> JudgedVersion:
    return JudgedVersion(
        name=name,
        images=shown,
        generated=Generated(
            path=Path("gen") / name,
            samples=shown.samples,
            class_names=tuple(f"class {label}" for label in range(K)),
            asked=(0,) * K,
            source=SOURCE,
            digests={},
            filter_known=True,
            train_images=frozenset({"seen"}),
            settings={},
            sha256="cd" * 32,
        ),
    )


def judged(versions: Mapping[str, Images], *, val: int = 15, test: int = 60) -> Judged:
    """40 train images a class, and as many others as are said."""
    parts = {name: real(name, count, seed=n) for n, (name, count) in enumerate((("train", 40), ("val", val)))}
    parts["test"] = real("test", test, seed=2)
    data = Data(
        **{name: part.samples for name, part in parts.items()},
        class_names=tuple(f"class {label}" for label in range(K)),
        source=SOURCE,
        image_ids={sample.path: "seen" for sample in parts["train"].samples},
    )
    found = tuple(version(name, shown) for name, shown in versions.items())
    return Judged(data=data, model=None, extractor=NETWORK, **parts, versions=found)
