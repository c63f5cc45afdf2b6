"""A head trained as one writes it without a cache: the frozen backbone runs on every image in every epoch."""

import torch
from course import CourseCost
from memory_images import data
from networks import CLASSES, classifier
from side import Meter
from torch import nn

from finegrain.data.loader import Loader
from finegrain.data.transforms import eval_transform, normalize
from finegrain.features.inference import frozen
from finegrain.runtime import RuntimeConfig

_FORWARD = 16
"""Images of a forward pass, as in `extract`: fewer fit better into the processor's caches."""


class PlainHead:
    """The project's own loader and fast backbone, so that only the caching differs.

    Args:
        model: timm's name.
        count: Images of an epoch.
        batch_size: Images of a step.
        epochs: Of a call.
        image_size: Side of the images.
    """

    def __init__(self, *, model: str, count: int, batch_size: int, epochs: int, image_size: int = 224) -> None:
        self._classifier = classifier(model, image_size=image_size)
        self._runtime = RuntimeConfig(device="cpu", compile="never").build()
        self._epochs = epochs
        images = data(count, classes=CLASSES, image_size=image_size)
        self._loader = Loader(
            images.train,
            source=images.source,
            transform=eval_transform(self._classifier.preprocessing),
            batch_size=batch_size,
            seed=0,
            train=True,
        )

    def epoch(self) -> CourseCost:
        """Train a fresh head."""
        meter, after = Meter(), {}
        backbone = frozen(self._classifier, self._runtime)
        width = self._classifier.get_submodule(self._classifier.head_name).in_features
        assert isinstance(width, int)
        self.head = nn.Linear(width, CLASSES)
        optimizer = torch.optim.SGD(self.head.parameters(), lr=1e-3, momentum=0.9, nesterov=True, weight_decay=2e-5)
        loss = nn.CrossEntropyLoss(label_smoothing=0.1)
        after[0] = meter.read(0).cpu_seconds
        for epoch in range(self._epochs):
            for batch in self._loader.epoch(epoch):
                images = normalize(self._runtime.place_images(batch.images), self._classifier.preprocessing)
                features = torch.cat([backbone(part) for part in torch.split(images, _FORWARD)])
                optimizer.zero_grad()
                loss(self.head(features), batch.labels).backward()
                optimizer.step()
            after[epoch + 1] = meter.read(0).cpu_seconds
        whole = meter.read(self._epochs * len(self._loader.samples))
        return CourseCost(
            images=whole.images, wall_seconds=whole.wall_seconds, cpu_seconds=whole.cpu_seconds, after=after
        )
