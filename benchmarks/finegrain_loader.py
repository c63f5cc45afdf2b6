"""The project's loader: what `main.py train` feeds a model on one core, with the augmentation of the peer."""

from collections.abc import Iterator
from pathlib import Path

from side import Cost, Meter
from torch import Tensor

from finegrain.data import splits
from finegrain.data.feed import ImageFeed
from finegrain.data.folder import ImageFolder
from finegrain.data.loader import Loader
from finegrain.data.transforms import AugmentConfig
from finegrain.preprocessing import Preprocessing
from finegrain.runtime import RuntimeConfig

PREPROCESSING = Preprocessing(
    image_size=224, resize_size=256, interpolation="bilinear", mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
)


class FinegrainLoader:
    """Decodes in the thread of its own that the default settings give on one core; channels last.

    Args:
        root: Holds train/, val/ and test/.
        batch_size: Images of a batch.
        antialias: As in the project's `augment.antialias`.
        cache: Folder of decoded pixels, filled here; None: every epoch decodes the files.
    """

    def __init__(self, *, root: Path, batch_size: int, antialias: bool, cache: Path | None = None) -> None:
        config = ImageFolder(root=str(root), pixel_cache=None if cache is None else str(cache))
        augment = AugmentConfig(min_scale=0.08, color_jitter=0.4, antialias=antialias)
        data = splits.build(config, config.table())
        loader = Loader(
            data.train,
            source=data.source,
            transform=augment.train_transform(PREPROCESSING),
            batch_size=batch_size,
            seed=0,
            train=True,
        )
        runtime = RuntimeConfig(device="cpu").build()
        self._feed = ImageFeed(loader, preprocessing=PREPROCESSING, runtime=runtime)
        self._epoch = 0

    def batches(self) -> Iterator[Tensor]:
        """One epoch more, float32 [B, 3, 224, 224]."""
        for inputs in self._feed.epoch(self._epoch):
            yield from inputs.views
        self._epoch += 1

    def epoch(self) -> Cost:
        """Load one epoch more."""
        meter = Meter()
        return meter.read(sum(len(images) for images in self.batches()))
