"""A training script as tutorials have it: Pillow and torchvision in torch's loader, fp32, contiguous tensors."""

import timm
import torch
from peers.torchvision_loader import image_transform
from side import Cost, Job, Meter
from torch import nn
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder

WORKERS = 2


class PlainSide:
    """Trains with `requires_grad=False` on what is not trained."""

    def __init__(self, job: Job) -> None:
        dataset = ImageFolder(job.root / "train", transform=image_transform())
        self._loader = DataLoader(
            dataset, batch_size=job.batch_size, shuffle=True, num_workers=WORKERS, persistent_workers=WORKERS > 0
        )
        self.model = timm.create_model(job.model, num_classes=job.num_classes)
        for name, parameter in self.model.named_parameters():
            parameter.requires_grad = name.startswith(job.trained)
        parameters = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        self._optimizer = torch.optim.SGD(parameters, lr=1e-3, momentum=0.9, weight_decay=2e-5)
        self._loss = nn.CrossEntropyLoss(label_smoothing=0.1)

    def epoch(self) -> Cost:
        """Train one epoch."""
        meter, images, total = Meter(), 0, 0.0
        self.model.train()
        for inputs, labels in self._loader:
            self._optimizer.zero_grad()
            loss = self._loss(self.model(inputs), labels)
            loss.backward()
            self._optimizer.step()
            total += loss.item() * len(labels)
            images += len(labels)
        return meter.read(images)
