"""torchvision's side: its image folder and transforms in torch's loader, as its tutorials write them."""

from collections.abc import Iterator
from pathlib import Path

import torch
from side import Cost, Meter
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder
from torchvision.io import ImageReadMode, decode_image
from torchvision.transforms import v2

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
JITTER = 0.4


class TorchvisionLoader:
    """Loads in its own process; hue is left alone, as by the project.

    Args:
        root: Holds train/.
        batch_size: Images of a batch.
        tensors: libjpeg-turbo to tensors and `transforms.v2`, as the library advises for speed, in the place of Pillow
            and the first transforms.
    """

    def __init__(self, *, root: Path, batch_size: int, tensors: bool = False) -> None:
        folder = root / "train"
        dataset = (
            ImageFolder(folder, transform=tensor_transform(), loader=read_tensor)
            if tensors
            else ImageFolder(folder, transform=image_transform())
        )
        self._loader = DataLoader(dataset, batch_size=batch_size, shuffle=True)

    def batches(self) -> Iterator[Tensor]:
        """One epoch more, float32 [B, 3, 224, 224]."""
        for images, _ in self._loader:
            yield images

    def epoch(self) -> Cost:
        """Load one epoch more."""
        meter = Meter()
        return meter.read(sum(len(images) for images in self.batches()))


def image_transform() -> transforms.Compose:
    """Of a Pillow image; the dataset has opened it and converted it to RGB."""
    return transforms.Compose(
        [
            transforms.RandomResizedCrop(224),
            transforms.RandomHorizontalFlip(),
            transforms.ColorJitter(JITTER, JITTER, JITTER),
            transforms.ToTensor(),
            transforms.Normalize(MEAN, STD),
        ]
    )


def tensor_transform() -> v2.Compose:
    """Of a tensor uint8 [3, H, W], float only at the end."""
    return v2.Compose(
        [
            v2.RandomResizedCrop(224, antialias=True),
            v2.RandomHorizontalFlip(),
            v2.ColorJitter(JITTER, JITTER, JITTER),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(MEAN, STD),
        ]
    )


def read_tensor(path: str) -> Tensor:
    """The image as uint8 [3, H, W]."""
    return decode_image(path, mode=ImageReadMode.RGB)
