"""A training loop as one writes it: torch in fp32, contiguous tensors, `requires_grad=False` on what is not trained."""

from collections.abc import Sequence

import torch
from memory_images import ReadyImages, data
from networks import CLASSES, classifier
from side import Cost, Meter
from torch import nn


class PlainSteps:
    """Trains on images that are in memory.

    Args:
        model: timm's name.
        trained: Beginnings of the names of what is trained.
        count: Images of an epoch.
        batch_size: Images of a step.
        image_size: Their side.
    """

    def __init__(
        self, *, model: str, trained: Sequence[str], count: int, batch_size: int, image_size: int = 224
    ) -> None:
        built = classifier(model, image_size=image_size)
        self.model = built.network
        for name, parameter in self.model.named_parameters():
            parameter.requires_grad = name.startswith(tuple(trained))
        images = data(count, classes=CLASSES, image_size=image_size)
        self._feed = ReadyImages(
            images.train, source=images.source, preprocessing=built.preprocessing, batch_size=batch_size
        )
        parameters = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        self._optimizer = torch.optim.SGD(parameters, lr=1e-3, momentum=0.9, nesterov=True, weight_decay=2e-5)
        self.loss = float("nan")
        """Of the last epoch."""
        self._loss = nn.CrossEntropyLoss(label_smoothing=0.1)

    def epoch(self) -> Cost:
        """Train one epoch."""
        meter, images, total = Meter(), 0, 0.0
        self.model.train()
        for inputs in self._feed.epoch(0):
            self._optimizer.zero_grad()
            loss = self._loss(self.model(inputs.views[0]), inputs.labels)
            loss.backward()
            self._optimizer.step()
            total += loss.item() * len(inputs.labels)
            images += len(inputs.labels)
        self.loss = total / images
        return meter.read(images)
