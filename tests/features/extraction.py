"""One extraction of a few drawn images, of which a test changes a part."""

import torch
from feature_set import classifier, images, runtime

from finegrain.data.image import FileSource
from finegrain.features.cache import FeatureCache
from finegrain.features.extract import Features, extract

COUNT = 10


class Setting:
    """One extraction; a test changes a part of it and extracts again."""

    def __init__(self, folder) -> None:
        self.samples, self.source = images(folder / "set", COUNT)
        self.classifier = classifier()
        self.runtime = runtime()
        self.cache: FeatureCache | None = FeatureCache(folder / "cache")
        self.options: dict = {"batch_size": 4}

    def extract(self) -> Features:
        return extract(
            self.samples,
            source=self.source,
            classifier=self.classifier,
            runtime=self.runtime,
            cache=self.cache,
            **self.options,
        )

    def uncached(self) -> torch.Tensor:
        cache, self.cache = self.cache, None
        values = self.extract().values
        self.cache = cache
        return values

    def reopen(self) -> None:
        """As another process would find it: the source has seen no file yet."""
        self.source = FileSource(self.source.root, self.source.max_pixels, self.source.box_margin)
